"""Where the HTTP door listens: `[http]` to bound sockets and TLS settings. The door and the doorkeeper ask."""

import socket
import ssl

from engine.config import HttpConfig

BACKLOG = 100


def bind(config: HttpConfig) -> list[socket.socket]:
    """Sockets that are bound to every address of `http.listen`. Raises OSError, with nothing left open."""
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(config.listen or None, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            bound.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.setblocking(False)  # noqa: FBT003  # the standard library's own signature
            # Here already: who connects before the door runs waits, and an address that is taken shows now.
            one.listen(BACKLOG)
    except OSError as error:
        for one in bound:
            one.close()
        raise OSError(f"{config.listen}:{config.port} can't be listened on: {error.strerror or error}") from error
    return bound


def server_tls(config: HttpConfig) -> ssl.SSLContext | None:
    """The door's TLS settings, None where it has no certificate. Raises OSError where a file can't be used."""
    if not config.certificate_file:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.certificate_file, config.key_file or None)
    return context

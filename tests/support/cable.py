"""A TCP line to a server that can be cut, or go silent in one direction: what is between a program and its broker."""

import socket
import threading
from types import TracebackType


class Cable:
    """`with Cable(port) as cable:` connects whoever comes to `cable.port` with 127.0.0.1:port.

    While `hold` is set nothing that the client sends goes on to the server; the server's bytes still reach the client.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.hold = threading.Event()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="cable", daemon=True)

    def __enter__(self) -> "Cable":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End every connection; what was held back is lost."""
        with self._lock:
            ends, self._open = self._open, []
        for end in ends:
            _end(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                if self._listener.fileno() < 0:
                    return
                continue
            server.settimeout(None)
            with self._lock:
                self._open += [client, server]
            for source, sink, held in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, sink, held), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, held: bool) -> None:
        try:
            while data := source.recv(65_536):
                if held and self.hold.is_set():
                    continue  # swallowed: whoever sent it is killed before it could ask again
                sink.sendall(data)
        except OSError:
            pass
        finally:
            _end(source)
            _end(sink)


def _end(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    finally:
        end.close()

"""The files that a config names to what is wrong with them: missing, unreadable, open to others, about to expire."""

import os
import shutil
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

from engine.config import Config
from engine.diagnostics import Diagnostic, Span, error
from engine.intake.secretfile import read_secret
from engine.intake.signatures import read_key
from engine.shipped import Places
from engine.survey.places import place, warning
from engine.tomlfile import KeyPath, TomlFile

FREE_BYTES_MIN = 1 << 30
EXPIRES_S_MIN = 14 * 86_400
CREDENTIAL = "credential:"

Named = tuple[KeyPath, str]
"""A key, and the path or `credential:NAME` that is its value."""


def secrets_of(config: Config) -> Iterator[tuple[KeyPath, str, bool]]:
    """Each secret file of the config with its key, and whether it holds a key of a signature."""
    for at, broker in enumerate(config.mqtt):
        yield ("mqtt", at, "password_file"), broker.password_file, False
        for topic_at, topic in enumerate(broker.topics):
            for each in topic.signature.key_files if topic.signature else ():
                yield ("mqtt", at, "topics", topic_at, "signature", "key_files"), each, True
    for at, sender in enumerate(config.http.senders):
        yield ("http", "senders", at, "token_file"), sender.token_file, False
        yield ("http", "senders", at, "hmac_file"), sender.hmac_file, False
        for each in sender.signature.key_files if sender.signature else ():
            yield ("http", "senders", at, "signature", "key_files"), each, True


def secrets(config: Config, file: TomlFile | None) -> Iterator[Diagnostic]:
    """Secrets that can't be read, are no keys, or may be read by others."""
    for key, written, is_key in secrets_of(config):
        if not written:
            continue
        span = place(file, key)
        if written.startswith(CREDENTIAL) and not os.environ.get("CREDENTIALS_DIRECTORY"):
            yield warning(
                "H070",
                f"`{written}` can't be looked at from here",
                span,
                label="systemd hands it to the service alone",
                help="see that the unit has `LoadCredential=` for it, or check as docs/operations.md has it",
            )
            continue
        try:
            text = read_secret(written)
            if is_key:
                read_key(text)
        except (OSError, ValueError) as problem:
            yield error(
                "H070",
                "a secret can't be used",
                span,
                label=_reason(problem),
                help="the daemon would not start, or not reload, with it",
            )
            continue
        if not written.startswith(CREDENTIAL):
            yield from others(Path(written), "secret", span=span, reading=True)


def certificates(config: Config, file: TomlFile | None, now_s: float) -> Iterator[Diagnostic]:
    """Certificates and keys that can't be loaded, and those that are about to expire."""
    pairs: list[tuple[KeyPath, str, str]] = [
        (("mqtt", at, "tls"), broker.tls.certificate_file, broker.tls.key_file)
        for at, broker in enumerate(config.mqtt)
        if broker.tls.enabled
    ]
    if config.http.enabled:
        pairs.append((("http", "certificate_file"), config.http.certificate_file, config.http.key_file))
    for key, certificate, private in pairs:
        if certificate:
            yield from _pair(place(file, key), certificate, private, now_s)
    for at, broker in enumerate(config.mqtt):
        if broker.tls.enabled and broker.tls.ca_file:
            try:
                ssl.create_default_context(cafile=broker.tls.ca_file)
            except OSError as problem:
                span = place(file, ("mqtt", at, "tls"))
                yield error("H070", "a CA file can't be used", span, label=_reason(problem, broker.tls.ca_file))


def _pair(span: Span | None, certificate: str, private: str, now_s: float) -> Iterator[Diagnostic]:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, private or None)
        ends = ssl._ssl._test_decode_cert(certificate)["notAfter"]  # type: ignore[attr-defined]  # noqa: SLF001  # the only reader of a file in the standard library
    except OSError as problem:
        yield error("H070", "a certificate can't be used", span, label=_reason(problem, certificate))
        return
    left_s = ssl.cert_time_to_seconds(ends) - now_s
    if left_s < EXPIRES_S_MIN:
        title = "a certificate has expired" if left_s < 0 else f"a certificate expires in {left_s / 86_400:.0f} days"
        yield warning("H070", title, span, label=f"at {ends}", help="renew it, then reload")


def others(path: Path, what: str, *, span: Span | None = None, reading: bool = False) -> Iterator[Diagnostic]:
    """That people beside its owner may change a file (or read it, where that matters), or that a stranger owns it."""
    try:
        state = path.stat()
    except OSError:
        return  # whoever reads it says that
    mode = stat.S_IMODE(state.st_mode)
    allowed = {0, os.geteuid()}
    if mode & stat.S_IWOTH or (mode & stat.S_IWGRP and state.st_gid != 0):
        who = "anybody" if mode & stat.S_IWOTH else "its group"
        yield warning("H071", f"{who} may change the {what} {path}", span, help=f"chmod go-w {path}")
    elif state.st_uid not in allowed:
        yield warning(
            "H071", f"the {what} {path} belongs to user {state.st_uid}, who may change it", span, help="chown root it"
        )
    if reading and mode & stat.S_IROTH:
        yield warning("H071", f"anybody may read the {what} {path}", span, help=f"chmod o-r {path}")


def trusted(config_path: Path, places: Places) -> Iterator[Diagnostic]:
    """That others may change the config, the rules, or a folder in which they stand."""
    yield from others(config_path, "config file")
    yield from others(config_path.parent, "folder of the config,")
    for root in places.rules:
        yield from others(root, "rules folder" if root.is_dir() else "rule file")
        if root.is_dir():
            for path in sorted(root.rglob("*")):
                if path.is_dir() or path.suffix == ".toml":
                    yield from others(path, "rules folder" if path.is_dir() else "rule file")


def state(places: Places, file: TomlFile | None) -> Iterator[Diagnostic]:
    """A state directory that can't be made or written, or has little room."""
    span, folder = place(file, ("daemon", "state_dir")), places.state_dir
    standing = folder
    while not standing.exists() and standing != standing.parent:
        standing = standing.parent
    if not os.access(standing, os.W_OK | os.X_OK):
        yield error(
            "H073",
            f"the state directory {folder} can't be written",
            span,
            label=f"{standing} may not be changed by this user",
            help="check as the user of the daemon, or `chown` it",
        )
        return
    free = shutil.disk_usage(standing).free
    if free < FREE_BYTES_MIN:
        yield warning("H073", f"{free / (1 << 20):.0f} MiB are free where the state directory {folder} is", span)


def _reason(problem: Exception, path: str = "") -> str:
    if isinstance(problem, OSError):
        return f"{problem.filename or path}: {problem.strerror or problem}"
    return str(problem)

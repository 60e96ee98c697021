"""Turns `--config`, or its absence, into the config file to read, and a `Config` into the places on disk it means.

`app` and `cli` ask here, so that the daemon and the commands that speak to it agree on every path.
"""

from importlib import resources
from pathlib import Path

import msgspec

from engine.config import Config, SignatureConfig
from engine.model import Struct

SYSTEM_CONFIG = Path("/etc/halon/config.toml")


class Places(Struct, frozen=True):
    """Absolute paths: the daemon's directory, its database and control socket, and the rules folders and files."""

    state_dir: Path
    database: Path
    control_socket: Path
    rules: tuple[Path, ...]


def find_config(explicit: Path | None = None, *, cwd: Path | None = None, system: Path = SYSTEM_CONFIG) -> Path:
    """The config file: `explicit` if given, else ./config.toml, else the system's, else the one that is shipped.

    The file that is shipped always exists; one that is given may not, which its reader reports.
    """
    if explicit is not None:
        return explicit.absolute()
    for candidate in ((cwd or Path.cwd()) / "config.toml", system):
        if candidate.is_file():
            return candidate
    return shipped_dir() / "config.toml"


def shipped_dir() -> Path:
    """Where config.toml and rules/ stand that came with Halon: inside the wheel, or the top of a checkout."""
    package = Path(str(resources.files("engine")))
    inside = package / "shipped"
    return inside if (inside / "config.toml").is_file() else package.parent


def find_places(config: Config, config_dir: Path) -> Places:
    """The paths that `config` means; relative ones are relative to `config_dir`, the folder of its file."""

    def place(written: str) -> Path:
        return config_dir.absolute() / Path(written).expanduser()

    daemon, state_dir = config.daemon, place(config.daemon.state_dir)
    return Places(
        state_dir=state_dir,
        database=place(config.store.path) if config.store.path else state_dir / "halon.db",
        control_socket=place(daemon.control_socket) if daemon.control_socket else state_dir / "control.sock",
        rules=tuple(place(path) for path in config.rules.paths),
    )


def anchor(config: Config, config_dir: Path) -> Config:
    """The config with the paths of certificates and secret files made absolute; `credential:NAME` stays as it is."""

    def place(written: str) -> str:
        if not written or written.startswith("credential:"):
            return written
        return str(config_dir.absolute() / Path(written).expanduser())

    replace = msgspec.structs.replace

    def keys(signature: SignatureConfig | None) -> SignatureConfig | None:
        return None if signature is None else replace(signature, key_files=tuple(map(place, signature.key_files)))

    mqtt = tuple(
        replace(
            each,
            password_file=place(each.password_file),
            topics=tuple(replace(topic, signature=keys(topic.signature)) for topic in each.topics),
            tls=replace(
                each.tls,
                ca_file=place(each.tls.ca_file),
                certificate_file=place(each.tls.certificate_file),
                key_file=place(each.tls.key_file),
            ),
        )
        for each in config.mqtt
    )
    senders = tuple(
        replace(
            each, token_file=place(each.token_file), hmac_file=place(each.hmac_file), signature=keys(each.signature)
        )
        for each in config.http.senders
    )
    http = replace(
        config.http,
        certificate_file=place(config.http.certificate_file),
        key_file=place(config.http.key_file),
        senders=senders,
    )
    audit = replace(config.audit, key_file=place(config.audit.key_file))
    return replace(config, mqtt=mqtt, http=http, audit=audit)

"""Which config file is read, and which places it means."""

from pathlib import Path

import pytest

from engine.config import (
    Config,
    DaemonConfig,
    HttpConfig,
    MqttConfig,
    RulesConfig,
    SenderConfig,
    StoreConfig,
    TlsConfig,
)
from engine.shipped import anchor, find_config, find_places, shipped_dir


@pytest.mark.parametrize(
    ("here", "system", "found"),
    [(True, True, "here/config.toml"), (False, True, "system.toml"), (False, False, None)],
)
def test_the_nearest_config_is_read(tmp_path, here, system, found):
    """One in the working directory comes before the system's, which comes before the shipped one."""
    (tmp_path / "here").mkdir()
    if here:
        (tmp_path / "here" / "config.toml").touch()
    if system:
        (tmp_path / "system.toml").touch()
    expected = tmp_path / found if found else shipped_dir() / "config.toml"
    assert find_config(cwd=tmp_path / "here", system=tmp_path / "system.toml") == expected
    assert find_config(Path("given.toml"), cwd=tmp_path) == Path.cwd() / "given.toml"


def test_the_shipped_config_and_rules_are_there():
    """A checkout has them at its top; a wheel carries them inside."""
    assert (shipped_dir() / "config.toml").is_file()
    assert (shipped_dir() / "rules").is_dir()


def test_places_are_relative_to_the_config_file(tmp_path):
    """Relative paths start at the file's folder, absolute ones stay, empty ones stand below the state directory."""
    places = find_places(Config(daemon=DaemonConfig(state_dir="state"), rules=RulesConfig(paths=("r", "/r"))), tmp_path)
    assert places.database == tmp_path / "state" / "halon.db"
    assert places.control_socket == tmp_path / "state" / "control.sock"
    assert places.rules == (tmp_path / "r", Path("/r"))
    other = Config(daemon=DaemonConfig(control_socket="/run/c"), store=StoreConfig(path="db"))
    assert find_places(other, tmp_path).control_socket == Path("/run/c")
    assert find_places(other, tmp_path).database == tmp_path / "db"


def test_paths_of_secrets_are_relative_to_the_config_file_too(tmp_path):
    """Certificates and secret files are anchored; credentials of the service manager and empty ones stay."""
    config = Config(
        mqtt=(MqttConfig(password_file="mqtt.pw", tls=TlsConfig(ca_file="/etc/ca.pem", certificate_file="own.pem")),),
        http=HttpConfig(key_file="key.pem", senders=(SenderConfig(name="a", token_file="credential:a"),)),
    )
    anchored = anchor(config, tmp_path)
    assert anchored.mqtt[0].password_file == str(tmp_path / "mqtt.pw")
    assert anchored.mqtt[0].tls.ca_file == "/etc/ca.pem"
    assert anchored.mqtt[0].tls.certificate_file == str(tmp_path / "own.pem")
    assert anchored.mqtt[0].tls.key_file == ""
    assert anchored.http.key_file == str(tmp_path / "key.pem")
    assert anchored.http.senders[0].token_file == "credential:a"

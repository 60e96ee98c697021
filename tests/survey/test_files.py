"""engine.survey.files and places: secrets, certificates, who may change what, and where the config says so."""

import os
from pathlib import Path

import pytest

from engine.clock import SECOND_US, SystemClock
from engine.configfile import load_config
from engine.diagnostics import Level
from engine.shipped import anchor, find_places
from engine.survey import files
from engine.survey.places import place
from engine.tomlfile import parse_toml, read_toml
from tests.support.certificates import make_certificates


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def config_of(folder, text):
    path = folder / "config.toml"
    path.write_text(text)
    config, found = load_config(path)
    assert config is not None, found
    return anchor(config, folder), read_toml(path, "config.toml"), find_places(config, folder)


def told(found):
    return [(each.code, each.level.value, each.title, each.span.line if each.span else 0) for each in found]


SENDERS = """
[http]
enabled = true
[[http.senders]]
name = "a"
token_file = "a.token"
[[http.senders]]
name = "b"
signature = { key_files = ["b.key"] }
"""


def test_each_secret_that_does_not_do_is_named_at_its_key(tmp_path):
    """Missing, empty, no key at all: each an error, none of which shows what a file holds."""
    text = '[[mqtt]]\npassword_file = "none"\n' + SENDERS
    (tmp_path / "a.token").write_text("")
    (tmp_path / "b.key").write_text("whsec_notakey!")
    os.chmod(tmp_path / "a.token", 0o600)
    config, file, _ = config_of(tmp_path, text)
    found = list(files.secrets(config, file))
    assert [(each.code, each.level, each.span.line) for each in found] == [
        ("H070", Level.ERROR, 2),
        ("H070", Level.ERROR, 8),
        ("H070", Level.ERROR, 11),
    ]
    labels = [each.label for each in found]
    assert "No such file" in labels[0]
    assert "is empty" in labels[1]
    assert "not base64" in labels[2]
    assert "notakey" not in str(found)


def test_a_secret_that_anybody_may_read_is_a_warning(tmp_path):
    """With what to type; one of its owner alone is none."""
    (tmp_path / "a.token").write_text("secret")
    (tmp_path / "b.key").write_text("whsec_" + "A" * 44)
    os.chmod(tmp_path / "a.token", 0o644)
    os.chmod(tmp_path / "b.key", 0o600)
    config, file, _ = config_of(tmp_path, SENDERS)
    [found] = files.secrets(config, file)
    assert (found.code, found.level, found.help) == ("H071", Level.WARNING, f"chmod o-r {tmp_path / 'a.token'}")


def test_a_credential_of_systemd_is_looked_at_where_that_can_be_done(tmp_path, monkeypatch):
    """Outside of the service it is a warning, inside it is a secret like any other."""
    config, file, _ = config_of(tmp_path, '[[mqtt]]\npassword_file = "credential:broker"\n')
    [outside] = files.secrets(config, file)
    assert (outside.level, "LoadCredential" in outside.help) == (Level.WARNING, True)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    [missing] = files.secrets(config, file)
    assert missing.level is Level.ERROR
    (tmp_path / "broker").write_text("secret")
    assert list(files.secrets(config, file)) == []


def test_certificates_are_loaded_and_their_end_is_foreseen(tmp_path):
    """A pair that fits is silent, until two weeks before it ends; a missing file is an error."""
    make_certificates(tmp_path)
    text = '[http]\nenabled = true\ncertificate_file = "server.crt"\nkey_file = "server.key"\n'
    config, file, _ = config_of(tmp_path, text)
    now_s = SystemClock().now_us() / SECOND_US
    [soon] = files.certificates(config, file, now_s)
    assert (soon.level, "expires in 2 days" in soon.title or "expires in 1 days" in soon.title) == (Level.WARNING, True)
    assert list(files.certificates(config, file, now_s - 20 * 86_400)) == []
    [late] = files.certificates(config, file, now_s + 20 * 365 * 86_400)
    assert (late.code, late.level, late.title) == ("H070", Level.WARNING, "a certificate has expired")
    config, file, _ = config_of(tmp_path, text.replace("server.key", "/none.key"))
    [bad] = files.certificates(config, file, now_s)
    assert (bad.level, bad.span.line) == (Level.ERROR, 3)
    config, file, _ = config_of(tmp_path, '[[mqtt]]\ntls = { enabled = true, ca_file = "none.pem" }\n')
    [bad] = files.certificates(config, file, now_s)
    assert "none.pem" in bad.label


@pytest.mark.parametrize(
    ("name", "mode", "says"),
    [
        ("rules/a.toml", 0o666, "anybody may change the rule file"),
        ("rules/a.toml", 0o664, "its group may change the rule file"),
        ("rules", 0o777, "anybody may change the rules folder"),
        ("config.toml", 0o646, "anybody may change the config file"),
        ("rules/a.toml", 0o644, ""),
    ],
)
def test_who_else_may_change_what_is_stopped_is_told(tmp_path, name, mode, says):
    """Files and folders of rules, and the config; the group of root is root."""
    os.chmod(tmp_path, 0o755)
    (tmp_path / "rules").mkdir(mode=0o755)
    (tmp_path / "rules" / "a.toml").write_text("")
    _, _, places = config_of(tmp_path, "")
    for path in (tmp_path / "config.toml", tmp_path / "rules" / "a.toml"):
        os.chmod(path, 0o644)
    os.chmod(tmp_path / name, mode)
    if os.geteuid() == 0:
        os.chown(tmp_path / name, 0, 12_345)
    titles = [each.title for each in files.trusted(tmp_path / "config.toml", places)]
    assert [each.startswith(says) for each in titles] == ([True] if says else [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_rule_file_of_a_stranger_is_told(tmp_path):
    """Who owns it may change it."""
    path = tmp_path / "a.toml"
    path.write_text("")
    os.chmod(path, 0o644)
    os.chown(path, 12_345, 0)
    [found] = files.others(path, "rule file")
    assert "belongs to user 12345" in found.title


def test_a_state_directory_that_does_not_do_is_told(tmp_path, monkeypatch):
    """One that can't be made, and one with little room."""
    config, file, places = config_of(tmp_path, '[daemon]\nstate_dir = "/proc/halon"\n')
    if os.geteuid() != 0:
        [found] = files.state(places, file)
        assert (found.code, found.level, found.span.line) == ("H073", Level.ERROR, 2)
    config, file, places = config_of(tmp_path, '[daemon]\nstate_dir = "state"\n')
    assert [each for each in files.state(places, file) if each.level is Level.ERROR] == []
    monkeypatch.setattr(files, "FREE_BYTES_MIN", 1 << 60)
    [found] = files.state(places, file)
    assert (found.code, found.level) == ("H073", Level.WARNING)
    assert "MiB are free" in found.title
    assert config.daemon.state_dir == "state"


def test_a_place_is_that_of_the_key_or_of_the_table_around_it():
    """A key that is left out stands where its table does; without a file nothing has a place."""
    file = parse_toml(b'[daemon]\n\n[[mqtt]]\nhost = "x"\n', "config.toml")
    assert place(file, ("mqtt", 0, "host")).line == 4
    assert place(file, ("mqtt", 0, "port")).line == 3
    assert place(file, ("http", "listen")) is None
    assert place(None, ("mqtt",)) is None
    assert Path(place(file, ("daemon", "state_dir")).path).name == "config.toml"

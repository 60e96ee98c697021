"""`halon sign`: keys and signatures that the doors accept."""

import json
import os
import stat

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.intake.signatures import Enveloped, Proved, open_envelope, prove, read_key


def halon(*args, stdin=None):
    return CliRunner().invoke(main, ["sign", *map(str, args)], prog_name="halon", input=stdin)


@pytest.mark.parametrize(("kind", "known"), [("hmac", "a.key"), ("ed25519", "a.key.pub")])
def test_a_message_signed_with_a_new_key_is_proved(tmp_path, kind, known):
    """By the file that Halon is given; the one that signs can be read by its owner alone."""
    made = halon("key", kind, tmp_path / "a.key")
    assert made.exit_code == 0, made.output
    assert stat.S_IMODE(os.stat(tmp_path / "a.key").st_mode) == 0o600
    body = b'{"a": 1}\n'
    (tmp_path / "event.json").write_bytes(body)
    key = read_key((tmp_path / known).read_text())
    shown = halon("message", "--key", tmp_path / "a.key", tmp_path / "event.json")
    headers = dict(line.split(": ", 1) for line in shown.stdout.splitlines())
    assert isinstance(prove([key], headers, body), Proved)
    piped = json.loads(halon("message", "--key", tmp_path / "a.key", "--id", "m1", "--json", stdin=body).stdout)
    assert piped["webhook-id"] == "m1"
    assert isinstance(prove([key], piped, body), Proved)
    opened = open_envelope(halon("message", "--key", tmp_path / "a.key", "--envelope", stdin=body).stdout_bytes)
    assert isinstance(opened, Enveloped)
    assert opened.payload == body
    assert isinstance(prove([key], opened.beside, opened.payload), Proved)


def test_a_key_is_never_written_over(tmp_path):
    """It may be in use."""
    (tmp_path / "a.key").write_text("precious")
    refused = halon("key", "hmac", tmp_path / "a.key")
    assert refused.exit_code == 1
    assert "exists" in refused.output
    assert (tmp_path / "a.key").read_text() == "precious"


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_%%", "whsk_AAAA", "whpk_AAAA", "secret"])
def test_what_is_no_key_signs_nothing(tmp_path, text):
    """The message says what makes one."""
    (tmp_path / "a.key").write_text(text)
    refused = halon("message", "--key", tmp_path / "a.key", stdin=b"{}")
    assert refused.exit_code == 1
    assert "halon sign key" in refused.output


def test_what_is_no_text_goes_in_no_envelope(tmp_path):
    """Over MQTT 5 it can go beside its signature."""
    halon("key", "hmac", tmp_path / "a.key")
    refused = halon("message", "--key", tmp_path / "a.key", "--envelope", stdin=b"\xff")
    assert refused.exit_code == 1
    assert "not UTF-8" in refused.output

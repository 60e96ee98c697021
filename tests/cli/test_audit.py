"""`halon audit`: heads in every form, keys, and a tail that was written anew, down to a broker's retained message."""

import json
import sqlite3
import subprocess
from contextlib import closing

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.store import archive, audit
from engine.store.connection import connect
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish
from tests.support.stored import make_database
from tests.support.wait import until


@pytest.fixture
def place(tmp_path):
    """A folder with a config and the database that it names."""
    (tmp_path / "state").mkdir()
    (tmp_path / "config.toml").write_text('[daemon]\nstate_dir = "state"\n')
    make_database(tmp_path / "state" / "halon.db")
    return tmp_path


def run(place, *arguments, code=0):
    found = CliRunner().invoke(main, ["audit", *map(str, arguments), "--config", str(place / "config.toml")])
    assert found.exit_code == code, found.output
    return found.output


def rewrite(path, *, upto, count):
    """The chain cut at `upto` and as many other records put behind it, with hashes and head that fit."""
    with closing(connect(path)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM audit WHERE seq > ?", (upto,))
        [(last,)] = connection.execute("SELECT hash FROM audit WHERE seq = ?", (upto,)).fetchall()
        connection.execute("UPDATE audit_head SET seq = ?, hash = ?", (upto, last))
        for number in range(count):
            audit.append(connection, "forged", 1 + number, {})


def forms(place):
    """A head in every form that Halon writes it in."""
    written = place / "written"
    written.mkdir()
    text = run(place, "anchor").strip()
    seq, _, digest = text.partition(":")
    published = {"specversion": "1.0", "type": "halon.audit.anchor", "data": {"records": int(seq), "head": digest}}
    (written / "anchor.txt").write_text(text + "\n")
    (written / "anchor.json").write_text(run(place, "anchor", "--json"))
    (written / "verify.txt").write_text(run(place, "verify"))
    (written / "verify.json").write_text(run(place, "verify", "--json"))
    (written / "mqtt.json").write_text(json.dumps(published))
    found = CliRunner().invoke(
        main, ["state", "export", str(written / "copy.halon"), "--config", str(place / "config.toml")]
    )
    assert found.exit_code == 0
    (written / "export.txt").write_text(found.output)
    return [text, *sorted(written.iterdir())]


def test_a_head_in_any_form_finds_a_tail_that_was_written_anew(place):
    """As text, printed, as JSON, from the broker, in an export: sound before, broken after."""
    heads = forms(place)
    assert len(heads) == 8
    for head in heads:
        assert "holds" in run(place, "verify", "--anchor", head)
    rewrite(place / "state" / "halon.db", upto=6, count=5)
    assert "holds" in run(place, "verify"), "the chain by itself is sound"
    for head in heads:
        assert "altered at record 11" in run(place, "verify", "--anchor", head, code=1)
    rewrite(place / "state" / "halon.db", upto=4, count=0)
    assert "truncated at record 5" in run(place, "verify", "--anchor", heads[0], code=1)


@pytest.mark.parametrize("text", ["x", "7:", "7:abc", "-1:" + "0" * 64, "/nonexistent/file"])
def test_what_is_no_head_is_a_usage_error(place, text):
    """With what it should be."""
    assert "RECORD:HASH" in run(place, "verify", "--anchor", text, code=2)


def test_a_file_without_a_head_is_a_usage_error(place):
    """Empty, other JSON, other text, bytes."""
    for content in (b"", b"{}", b'{"records": 0, "head": ""}', b"hello\n", b"\xff\x00"):
        (place / "f").write_bytes(content)
        assert "there is no head in" in run(place, "verify", "--anchor", place / "f", code=2)


def test_signatures_are_checked_with_the_key_of_the_config(place):
    """Without it that is said; a wrong key, or records without a signature behind signed ones, are found."""
    with closing(connect(place / "state" / "halon.db", audit_key=b"right")) as connection:
        for _ in range(3):
            audit.append(connection, "signed", 1, {})
    assert "records from 12 on are signed; without the key that was not checked" in run(place, "verify")
    (place / "key").write_text("right\n")
    (place / "config.toml").write_text('[daemon]\nstate_dir = "state"\n[audit]\nkey_file = "key"\n')
    said = run(place, "verify")
    assert "the chain of 14 records holds" in said
    assert "signed from record 12 on" in said
    report = json.loads(run(place, "verify", "--json"))
    assert (report["signed_from"], report["key"]) == (12, True)
    (place / "key").write_text("wrong\n")
    assert "altered at record 12" in run(place, "verify", code=1)
    (place / "key").write_text("right\n")
    with closing(connect(place / "state" / "halon.db")) as connection:
        audit.append(connection, "unsigned", 1, {})
    assert "record 15 is not signed, though earlier ones are" in run(place, "verify", code=1)
    (place / "key").unlink()
    assert "the audit key" in run(place, "verify", code=1)


RULES = """
[signal.bad]
on = "t"
by = { k = "event.subject" }

[rule.r]
incident = "fairness"
severity = "low"
by = ["k"]
when = { any = ["bad"] }
"""


def event(number):
    made = {"specversion": "1.0", "id": f"e{number}", "source": "s", "type": "t", "subject": f"k{number}", "data": {}}
    return [("halon/events/x", json.dumps(made).encode())]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_the_daemon_signs_its_log_and_publishes_the_head_retained(tmp_path, protocol):
    """A subscriber that comes later hears it; with it a tail is found that someone without the key wrote anew."""
    key = tmp_path / "key"
    key.write_text("a secret of the operator's\n")
    settings = f'[audit]\nkey_file = "{key}"\nanchor_topic = "site/halon/audit"\nanchor_records = 2\n'
    with (
        Mosquitto(tmp_path) as broker,
        Daemon(tmp_path, port=broker.port, rules=RULES, config=settings, mqtt=f'protocol = "{protocol}"') as halon,
    ):
        for number in range(4):
            publish(broker.port, event(number))
        until(lambda: halon.one("SELECT count(*) FROM audit") == 4, what="four records")

        def retained():
            heard = subprocess.run(
                ["mosquitto_sub", "-p", str(broker.port), "-t", "site/halon/audit", "-C", "1", "-W", "2"],
                capture_output=True,
                check=False,
            ).stdout
            return heard if heard and json.loads(heard)["data"]["records"] == 4 else None

        until(lambda: retained() is not None, within_s=30, what="the head is published")
        (tmp_path / "head.json").write_bytes(retained())
        assert halon.run_command("audit", "verify", "--anchor", str(tmp_path / "head.json")).returncode == 0
        with closing(sqlite3.connect(halon.database)) as connection:
            [(alg,)] = connection.execute("SELECT DISTINCT json_extract(record, '$.alg') FROM audit").fetchall()
        assert alg == "hmac-sha256"
        assert halon.stop() == 0
        rewrite(halon.database, upto=2, count=2)
        found = halon.run_command("audit", "verify", "--anchor", str(tmp_path / "head.json"))
        assert found.returncode == 1
        assert "record 3" in found.stdout
        assert key.read_text().strip() not in halon.log.read_text()


def test_a_key_that_can_not_be_read_stops_the_start(tmp_path):
    """Rather than a log that is not signed."""
    halon = Daemon(tmp_path, port=1, rules=RULES, config='[audit]\nkey_file = "credential:none"\n')
    try:
        halon.launch()
        assert halon.wait() == 1
        assert "the audit key" in halon.tail()
    finally:
        halon.close()


def test_the_archive_is_read_with_the_database(place, monkeypatch, tmp_path):
    """From its place beside the store or where it was carried to; where it is not at hand that is said."""
    monkeypatch.setattr(archive, "RECORDS_MIN", 5)
    monkeypatch.setattr(archive, "RECORDS_MAX", 5)
    early = run(place, "anchor").strip()
    with closing(connect(place / "state" / "halon.db")) as connection:
        connection.execute("BEGIN")
        [(digest,)] = connection.execute("SELECT hash FROM audit WHERE seq = 3").fetchall()
        part, sha256 = archive.write(place / "state" / "audit", archive.due(connection, before_us=2**62))
        archive.take_away(connection, part, sha256, at_us=1)
        connection.execute("COMMIT")
    assert "the chain of 12 records holds" in run(place, "verify", "--anchor", early)
    report = json.loads(run(place, "verify", "--anchor", f"3:{digest}", "--json"))
    assert (report["ok"], report["checked_from"]) == (True, 1)
    (place / "state" / "audit").rename(place / "elsewhere")
    assert "checked from record 6 on" in run(place, "verify", "--anchor", early)
    assert "name its folder with --archive" in run(place, "verify", "--anchor", f"3:{digest}", code=1)
    said = run(place, "verify", "--anchor", f"3:{digest}", "--archive", place / "elsewhere")
    assert "checked from" not in said
    (place / "empty").mkdir()
    assert "the file with record 1 is not in" in run(place, "verify", "--archive", place / "empty", code=1)

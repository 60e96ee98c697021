"""`halon state`: what people and programs are told, and a whole way there and back with a real daemon."""

import json
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner

from engine.cli import main
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish
from tests.support.stored import make_database
from tests.support.wait import until

RULES = """
[signal.twice]
on = "t"
by = { k = "event.subject" }
detect = { method = "count", at_least = 2, within = "1h" }

[rule.r]
incident = "fairness"
severity = "low"
by = ["k"]
when = { any = ["twice"] }
"""


@pytest.fixture
def place(tmp_path):
    """A folder with a config, rules and the database that the config names."""
    (tmp_path / "state").mkdir()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "r.toml").write_text(RULES)
    (tmp_path / "config.toml").write_text('[daemon]\nstate_dir = "state"\n')
    make_database(tmp_path / "state" / "halon.db")
    return tmp_path


def run(place, *arguments, code=0):
    found = CliRunner().invoke(main, ["state", *map(str, arguments), "--config", str(place / "config.toml")])
    assert found.exit_code == code, found.output
    return found.stdout if code == 0 else found.output


def test_export_check_and_import_say_what_they_did(place):
    """File, size, moment and audit head; then that it is sound; then what is where now."""
    copy = place / "copy.halon"
    said = run(place, "export", copy)
    assert "copy.halon: 0." in said
    assert "audit head 11:" in said
    assert "is sound" in run(place, "check", copy)
    assert "is there; say --replace" in run(place, "import", copy, code=1)
    said = run(place, "import", copy, "--replace")
    assert "is now the store as of" in said
    assert "kept as" in said
    assert "is sound" in run(place, "check")


def test_programs_get_json(place):
    """Each command with --json."""
    copy = place / "copy.halon"
    made = json.loads(run(place, "export", copy, "--json"))
    assert made["manifest"]["audit_records"] == 11
    checked = json.loads(run(place, "check", copy, "--json"))
    assert (checked["ok"], checked["wrong"], checked["file"]) == (True, [], str(copy))
    moved = json.loads(run(place, "import", copy, "--replace", "--json"))
    assert moved["manifest"] == made["manifest"]
    assert moved["before"].startswith(str(place / "state" / "halon.db.replaced-"))


def test_an_export_does_not_write_over_a_file_unless_told(place):
    """The one that is there stays."""
    (place / "copy.halon").write_text("mine")
    assert "say --overwrite" in run(place, "export", place / "copy.halon", code=1)
    assert (place / "copy.halon").read_text() == "mine"
    run(place, "export", place / "copy.halon", "--overwrite")


def test_what_is_wrong_is_told_with_exit_code_1(place):
    """A row that does not decode, in the store and in a plain copy; and files that are nothing of the kind."""
    with closing(sqlite3.connect(place / "state" / "halon.db")) as connection:
        connection.execute("UPDATE incidents SET body = 'x'")
        connection.commit()
    said = run(place, "check", code=1)
    assert "is not sound" in said
    assert "rows: 1 of incidents can't be read in `body`" in said
    assert "--unsound" in run(place, "export", "--help")
    assert "not sound" in run(place, "export", place / "copy.halon", code=1)
    (place / "text").write_text("text")
    assert "damaged" in run(place, "check", place / "text", code=1)
    (place / "none.toml").write_text('[daemon]\nstate_dir = "nowhere"\n')
    found = CliRunner().invoke(main, ["state", "check", "--config", str(place / "none.toml")])
    assert found.exit_code == 1
    assert "there is no database" in found.output


def test_windows_are_opened_under_the_rules_of_the_config(place):
    """One of these rules that can't be read is wrong; one of other rules begins anew, which is said."""
    with closing(sqlite3.connect(place / "state" / "halon.db")) as connection:
        connection.execute("INSERT INTO windows VALUES ('gone', '[]', 'd', 1, x'00')")
        connection.commit()
    assert "begins anew at the next start: 1 of gone: of other rules" in run(place, "check")


def event(number, subject):
    made = {"specversion": "1.0", "id": f"e{number}", "source": "s", "type": "t", "subject": subject, "data": {}}
    return json.dumps(made).encode()


def test_a_daemon_goes_on_from_an_export_made_while_it_ran(tmp_path):
    """Its windows and incidents are those of that moment; while it runs nothing is imported."""
    copy = tmp_path / "copy.halon"
    with Mosquitto(tmp_path) as broker, Daemon(tmp_path, port=broker.port, rules=RULES) as halon:
        publish(broker.port, [("halon/events/x", event(n, s)) for n, s in enumerate(["a", "a", "b"])])
        until(lambda: halon.events_committed() == 3, what="three events are durable")
        halon.halon("state", "export", str(copy))
        publish(broker.port, [("halon/events/x", event(9, "c"))])
        until(lambda: halon.events_committed() == 4, what="a later one is")
        refused = halon.run_command("state", "import", str(copy), "--replace")
        assert refused.returncode == 1
        assert f"process {halon.pid}" in refused.stderr
        assert halon.stop() == 0
        halon.halon("state", "import", str(copy), "--replace")
        halon.start()
        assert halon.events_committed() == 3
        publish(broker.port, [("halon/events/x", event(10, "b"))])
        until(lambda: halon.one("SELECT count(*) FROM incidents") == 2, what="the window of b was brought back")
        assert halon.run_command("state", "check").returncode == 0
        assert halon.run_command("audit", "verify").returncode == 0

"""`halon incidents report`, `halon test add` and `halon rules` on a real database, with and without a daemon."""

import json

import pytest
from click.testing import CliRunner

from engine.cli import main
from tests.support.reviewed import RULES, close, reviewed
from tests.support.steered import serving


@pytest.fixture
def place(tmp_path):
    """A site whose one incident came about by its own rules."""
    (tmp_path / "state").mkdir()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/sick.toml").write_text(RULES)
    (tmp_path / "config.toml").write_text('[daemon]\nstate_dir = "state"\n[rules]\npaths = ["rules"]\n')
    return tmp_path


def halon(place, *args):
    return CliRunner().invoke(main, [*map(str, args), "--config", str(place / "config.toml")], prog_name="halon")


def test_a_report_is_written_in_both_forms(place):
    """Markdown to standard output or a file, one HTML page with the signals drawn, JSON for programs."""
    _, _, incident = reviewed(place / "state")
    text = halon(place, "incidents", "report", incident)
    assert text.exit_code == 0, text.output
    assert text.stdout.startswith("# performance-anomaly: model=m-1")
    both = halon(place, "incidents", "report", incident, "--html", place / "r.html", "--markdown", place / "r.md")
    assert both.exit_code == 0, both.output
    assert (place / "r.md").read_text() == text.stdout
    assert (place / "r.html").read_text().count("<svg") == 2
    assert (
        json.loads(halon(place, "incidents", "report", incident, "--json").stdout)["detail"]["incident"]["id"]
        == incident
    )


def test_the_daemon_gives_the_same_report(place):
    """Over the control socket or from the database: one and the same."""
    _, _, incident = reviewed(place / "state")
    offline = halon(place, "incidents", "report", incident)
    with serving(place / "state/control.sock", place / "state/halon.db"):
        online = halon(place, "incidents", "report", incident)
    assert online.stdout == offline.stdout


@pytest.mark.parametrize("form", ["ocsf", "stix"])
def test_an_incident_is_exported(place, form):
    """To standard output and to a file the same."""
    _, _, incident = reviewed(place / "state")
    printed = halon(place, "incidents", "export", incident, "--format", form)
    assert printed.exit_code == 0, printed.output
    written = halon(place, "incidents", "export", incident, "--format", form, "--out", place / "x.json")
    assert written.exit_code == 0
    assert (place / "x.json").read_text() == printed.stdout
    first = json.loads(printed.stdout.splitlines()[0] if form == "ocsf" else printed.stdout)
    assert first["class_uid"] == 2005 if form == "ocsf" else first["type"] == "bundle"


def test_a_report_does_without_rules_that_do_not_load(place):
    """The signals are counted instead, and that is said."""
    _, _, incident = reviewed(place / "state")
    (place / "rules/sick.toml").write_text("[signal.x]\n")
    result = halon(place, "incidents", "report", incident)
    assert result.exit_code == 0
    assert "drawn as counts" in result.stderr


def test_an_incident_leaves_a_test_behind(place):
    """Appended to a test file beside the rules, which then passes; a second time it is there already."""
    _, _, incident = reviewed(place / "state")
    out = place / "rules/incidents.test.toml"
    result = halon(place, "test", "add", incident, "--out", out)
    assert result.exit_code == 0, result.output
    assert halon(place, "test").exit_code == 0
    again = halon(place, "test", "add", incident, "--out", out)
    assert again.exit_code == 1
    assert "already" in again.output


def test_a_false_positive_leaves_a_quiet_test_behind(place):
    """By its resolution; that the rules do not pass it yet is said, since that is what to change."""
    _, _, incident = reviewed(place / "state", move=close("false-positive"))
    result = halon(place, "test", "add", incident)
    assert result.exit_code == 0
    assert result.stdout.rstrip().endswith("expect = []")
    assert "do not pass it yet" in result.stderr


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["incidents", "report", "inc-none"], 1, "there is no incident"),
        (["test", "add", "inc-none"], 1, "there is no incident"),
        (["test", "add", "{incident}", "--out", "x.toml"], 2, "no test file"),
        (["incidents", "report", "{incident}", "--html", "/nonexistent/r.html"], 1, "can't write"),
    ],
)
def test_what_is_wrong_is_said(place, args, code, says):
    """With the exit code of its kind."""
    _, _, incident = reviewed(place / "state")
    result = halon(place, *[each.format(incident=incident) for each in args])
    assert (result.exit_code, says in result.output) == (code, True), result.output


def test_rules_say_what_they_have_come_to(place):
    """The one that fired, and one that never did."""
    reviewed(place / "state")
    (place / "rules/other.toml").write_text("""
[signal.heat]
on = "resource.sample"
[rule.other]
incident = "availability"
severity = "low"
when     = { any = ["heat"] }
""")
    result = halon(place, "rules")
    assert result.exit_code == 0, result.output
    assert "sick-model" in result.stdout
    assert "never" in result.stdout
    rows = json.loads(halon(place, "rules", "stats", "--json").stdout)
    assert {row["rule"]: row["fired"] for row in rows} == {"sick-model": 1, "other": 0}

"""`halon replay` on recordings in files, compressed, and from a pipe."""

import gzip
import json

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.cli.init import FILES


def event(number, latency_ms):
    """One recorded CloudEvent, a second apart; without a latency it lacks the field that the rule reads."""
    data = {"log": "/srv/m-1.log"} if latency_ms is None else {"log": "/srv/m-1.log", "latency_ms": latency_ms}
    return {
        "specversion": "1.0",
        "id": f"e{number}",
        "source": "gateway",
        "type": "inference.request",
        "time": f"2026-01-01T00:00:{number:02}Z",
        "subject": "m-1",
        "data": data,
    }


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with rules/, stricter rules in strict/, and a recording that makes the first ones fire."""
    monkeypatch.chdir(tmp_path)
    for name, at_least in (("rules", 3), ("strict", 2), ("lax", 4)):
        (tmp_path / name).mkdir()
        text = FILES["slow-model.toml"].replace("at_least = 3", f"at_least = {at_least}")
        (tmp_path / name / "slow.toml").write_text(text)
    lines = [json.dumps(event(number, latency)) for number, latency in enumerate([10, 2500, 2600, 2700, None])]
    (tmp_path / "events.jsonl").write_text("\n".join([*lines[:2], "{nonsense", *lines[2:]]) + "\n")
    return tmp_path


def halon(*args, stdin=None):
    """What `halon replay ARGS` does."""
    return CliRunner().invoke(main, ["replay", *map(str, args)], prog_name="halon", input=stdin)


def test_each_thing_is_a_line_of_json_in_order_of_time(folder):
    """Signal, incident, intent and faults with their fields, and the summary at the end."""
    result = halon("events.jsonl", "--rules", "rules", "--json")
    assert result.exit_code == 0, result.output
    key, at = {"model": "m-1"}, "2026-01-01T00:00:03Z"
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[0]["kind"] == "fault"
    assert lines[0]["line"] == 3
    signal, incident, intent, fault, summary = lines[1:]
    assert signal == {"kind": "signal", "at": at, "signal": "slow-answers", "key": key, "value": 3.0, "event": "e3"}
    assert incident == {
        "kind": "incident",
        "at": at,
        "incident": "performance-anomaly",
        "rule": "slow-model",
        "severity": "high",
        "key": key,
        "state": "open",
    }
    assert intent == {
        "kind": "intent",
        "at": at,
        "incident": "performance-anomaly",
        "key": key,
        "phase": "investigate",
        "action": "evidence.capture",
        "params": {"paths": ["/srv/m-1.log"]},
        "verdict": "enforce",
    }
    assert (fault["owner"], fault["event"]) == ("slow-answers", "e4")
    assert summary == {"kind": "summary", "events": 5, "faults": 2, "signals": 1, "incidents": 1, "intents": 1}


def test_people_read_a_table_and_a_summary(folder):
    """Incidents with their steps, signals and faults by kind."""
    result = halon("events.jsonl", "--rules", "rules")
    assert result.exit_code == 0, result.output
    for text in (
        "2026-01-01T00:00:03Z  incident",
        "by rule slow-model",
        "evidence.capture",
        "slow-answers, where",
        "not an event",
    ):
        assert text in result.stdout
    assert result.stdout.splitlines()[-1] == "5 events, 2 faults, 1 signal, 1 incident, 1 intent"


def test_the_recording_may_be_compressed_or_come_through_a_pipe(folder):
    """A .gz and standard input give the same lines as the file."""
    (folder / "events.jsonl.gz").write_bytes(gzip.compress((folder / "events.jsonl").read_bytes()))
    plain = halon("events.jsonl", "--rules", "rules", "--json").stdout
    assert halon("events.jsonl.gz", "--rules", "rules", "--json").stdout == plain
    piped = halon("-", "--rules", "rules", "--json", stdin=(folder / "events.jsonl").read_bytes())
    assert piped.stdout == plain


def test_a_span_of_time_can_be_chosen(folder):
    """--since is included, --until is not."""
    args = ("events.jsonl", "--rules", "rules", "--json", "--since", "2026-01-01T00:00:01Z")
    from_one = json.loads(halon(*args).stdout.splitlines()[-1])
    assert (from_one["events"], from_one["incidents"]) == (4, 1)
    until_three = json.loads(halon(*args, "--until", "2026-01-01T00:00:03Z").stdout.splitlines()[-1])
    assert (until_three["events"], until_three["incidents"]) == (2, 0)


def test_two_rule_sets_are_compared(folder):
    """What only the older rules make is removed, what only the newer ones make is added; exit code 1 if anything is."""
    later = halon("events.jsonl", "--rules", "lax", "--against", "rules", "--json")
    assert later.exit_code == 1
    report = json.loads(later.stdout)
    assert [line["kind"] for line in report["removed"]] == ["signal", "incident", "intent"]
    assert report["added"] == []
    text = halon("events.jsonl", "--rules", "strict", "--against", "rules")
    assert text.exit_code == 1
    assert "+ 2026-01-01T00:00:02Z  incident" in text.stdout
    assert "- 2026-01-01T00:00:03Z  incident" in text.stdout
    same = halon("events.jsonl", "--rules", "rules", "--against", "rules")
    assert same.exit_code == 0
    assert "no difference" in same.stdout


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["missing.jsonl", "--rules", "rules"], 2, "does not exist"),
        (["events.jsonl", "--rules", "missing"], 2, "does not exist"),
        (["events.jsonl", "--rules", "rules", "--since", "yesterday"], 2, "not an RFC 3339 time stamp"),
        (["-", "--rules", "rules", "--against", "lax"], 2, "give a file instead of -"),
        (["events.jsonl", "--rules", "rules", "--rules", "lax"], 2, "is defined twice"),
        (["cut.jsonl.gz", "--rules", "rules"], 1, "the compressed file is damaged"),
    ],
)
def test_what_cannot_be_replayed_is_said(folder, args, code, says):
    """Usage and bad rules are exit code 2, a damaged recording 1; none is a traceback."""
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress((folder / "events.jsonl").read_bytes())[:80])
    result = halon(*args)
    assert result.exit_code == code, result.output
    assert says in result.output
    assert isinstance(result.exception, SystemExit)


def test_a_key_is_replayed_as_if_it_were_watched(tmp_path):
    """Of two runs that do the same, the watched one gives a signal; what is no key is said."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.toml").write_text(
        "[signal.s]\non = 't'\nby = { run = 'event.subject' }\n"
        "detect = { method = 'count', at_least = 9, within = '1h' }\nwatched = { at_least = 1 }\n"
    )
    recording = tmp_path / "recording.jsonl"
    lines = [
        {
            "specversion": "1.0",
            "id": f"e{run}",
            "source": "s",
            "type": "t",
            "time": "2026-01-01T00:00:00Z",
            "subject": run,
        }
        for run in ("a", "b")
    ]
    recording.write_text("".join(json.dumps(each) + "\n" for each in lines))
    rules = ["--rules", str(tmp_path / "rules")]
    found = halon(str(recording), *rules, "--watch", "run=a", "--json")
    told = [json.loads(line) for line in found.stdout.splitlines()]
    assert [each["key"] for each in told if each["kind"] == "signal"] == [{"run": "a"}]
    assert "write NAME=VALUE" in halon(str(recording), *rules, "--watch", "a").output

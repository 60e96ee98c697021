"""Recorded events to the lines of `halon replay`."""

import gzip
import io
import json

import pytest

from engine.clock import parse_time_us
from engine.replay import LINE_BYTES_MAX, Recording, Replay, Unreadable, compare, encode_line, open_lines
from tests.support.rules import rules_of

RULES = """
[signal.many]
on = "t"
where = "event.data.n > 0"
by = { run = "event.subject" }
detect = { method = "count", at_least = 2, within = "10s" }
[rule.r]
incident = "fairness"
severity = "high"
by = ["run"]
when = { any = ["many"] }
playbook = "p"
[playbook.p]
contain = [ { do = "evidence.capture", paths = ["/x/${event.data.n}"] } ]
recover = [ { do = "evidence.capture", paths = ["/y"], approve = true } ]
"""


def event(number, second, **data):
    """One CloudEvent as a line."""
    time = f"2026-01-01T00:00:{second:02}Z"
    wire = {"specversion": "1.0", "id": f"e{number}", "source": "s", "type": "t", "time": time, "subject": "run-7"}
    return json.dumps({**wire, "data": data}).encode() + b"\n"


def replayed(*lines, rules=RULES, **kwargs):
    """The output as decoded JSON."""
    recording = Recording(io.BytesIO(b"".join(lines)), **kwargs)
    return [json.loads(encode_line(each)) for each in Replay(rules_of(rules), recording).lines()]


def test_the_output_is_exactly_that_of_the_manual():
    """Signal, incident, intents, summary, field by field and in this order."""
    key, at = {"run": "run-7"}, "2026-01-01T00:00:05Z"
    decided = {"kind": "intent", "at": at, "incident": "fairness", "key": key, "action": "evidence.capture"}
    assert replayed(event(1, 1, n=1), event(2, 5, n=2)) == [
        {"kind": "signal", "at": at, "signal": "many", "key": key, "value": 2.0, "event": "e2"},
        {
            "kind": "incident",
            "at": at,
            "incident": "fairness",
            "rule": "r",
            "severity": "high",
            "key": key,
            "state": "open",
        },
        decided | {"phase": "contain", "params": {"paths": ["/x/2"]}, "verdict": "enforce"},
        decided | {"phase": "recover", "params": {"paths": ["/y"]}, "verdict": "hold", "reason": "waits for approval"},
        {"kind": "summary", "events": 2, "faults": 0, "signals": 1, "incidents": 1, "intents": 2},
    ]


def test_what_cannot_be_decoded_is_a_fault_with_its_line_number():
    """Bad lines are told and the replay goes on; blank lines are nothing, but counted as lines."""
    lines = replayed(b"\n", b"{nonsense\n", event(1, 1, n=1), b'{"id": "x"}\n', event(2, 2, n=1))
    assert [(each["kind"], each.get("line")) for each in lines if "line" in each] == [("fault", 2), ("fault", 4)]
    assert all(each["reason"] for each in lines if each["kind"] == "fault")
    assert lines[-1]["faults"] == 2
    assert lines[-1]["signals"] == 1


def test_a_condition_that_cannot_be_evaluated_is_a_fault_line_too():
    """With its signal, field and event."""
    first, last = replayed(event(1, 1))
    assert (first["kind"], first["owner"], first["field"], first["event"]) == ("fault", "many", "where", "e1")
    assert last["faults"] == 1


def test_duplicates_are_dropped():
    """The same source and id twice is one event."""
    lines = replayed(event(1, 1, n=1), event(1, 1, n=1))
    assert lines == [
        {"kind": "summary", "events": 2, "faults": 0, "signals": 0, "incidents": 0, "intents": 0, "duplicates": 1}
    ]


def test_since_and_until_choose_a_stretch():
    """`since` is inside, `until` is not."""
    times = {"since_us": parse_time_us("2026-01-01T00:00:02Z"), "until_us": parse_time_us("2026-01-01T00:00:04Z")}
    lines = replayed(*(event(second, second, n=1) for second in range(1, 6)), **times)
    assert lines[-1]["events"] == 2


def test_a_line_too_long_is_a_fault_and_the_next_is_read():
    """The limit is that of a message."""
    lines = replayed(b'"' + b"x" * LINE_BYTES_MAX + b'"\n', event(1, 1, n=1))
    assert lines[0]["reason"].startswith("the line is longer")
    assert lines[-1]["events"] == 1


def test_plain_and_compressed_files_read_alike(tmp_path):
    """A `.gz` is unpacked on the way."""
    content = event(1, 1, n=1) + event(2, 2, n=1)
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content))
    for name in ("a.jsonl", "a.jsonl.gz"):
        with open_lines(str(tmp_path / name)) as file:
            assert len(list(Recording(file))) == 2


def test_a_damaged_compressed_file_is_told():
    """With the line up to which it was good."""
    cut = gzip.compress(event(1, 1, n=1) * 1_000)[:-20]
    with pytest.raises(Unreadable, match="damaged"):
        list(Recording(gzip.GzipFile(fileobj=io.BytesIO(cut))))


def test_two_rule_sets_are_compared_by_what_they_would_do():
    """What is equal is taken away; what is left is of one side only."""
    content = b"".join(event(second, second, n=1) for second in range(1, 7))

    def run(rules):
        return Replay(rules_of(rules), Recording(io.BytesIO(content)))

    difference = compare(run(RULES), run(RULES.replace("at_least = 2", "at_least = 6")))
    assert [each.kind for each in difference.removed] == ["signal", "incident", "intent", "intent", "signal", "signal"]
    assert (difference.before.fields["signals"], difference.after.fields["signals"]) == (3, 1)
    assert {each.kind for each in difference.added} == {"signal", "incident", "intent"}
    same = compare(run(RULES), run(RULES))
    assert (same.removed, same.added) == ((), ())

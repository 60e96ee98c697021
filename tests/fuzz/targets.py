"""What the fuzzer feeds: from bytes that anyone may send or save, to what must hold of the answer, whatever it is.

`tests/fuzz/run.py` finds new inputs by coverage, `tests/fuzz/test_corpus.py` replays the ones that were kept.
"""

import re
from functools import lru_cache

from engine.cel.contract import CelFault, Scope
from engine.cel.declare import ScopeKind
from engine.cel.environment import CelEnvironment
from engine.cel.runtime import Want
from engine.cloudevents import Malformed, decode, decode_event, encode_event
from engine.configfile import check_config
from engine.detectors.table import DETECTORS
from engine.diagnostics import Diagnostic, has_errors, render, to_json
from engine.intake.producers.contract import Message, produce
from engine.intake.producers.table import PRODUCERS
from engine.model import Event
from engine.rulefile.load import check_files
from engine.ruletest import check_tests, parse_tests, run_test
from engine.tomlfile import parse_toml
from tests.support.rules import catalogue

ARRIVED_US = 1_767_225_600_000_000
_TEST_EVENTS_MAX = 200
REASON_CHARS_MAX = 1_000

EVENT = Event(
    id="e-1",
    source="urn:trainer:a",
    type="training.step",
    time_us=ARRIVED_US,
    subject="run-7",
    data={"step": 200, "loss": 0.5, "tags": ["a", "é"], "nested": {"x": None, "big": 2**70}, "ok": True},
    ext={"datacontenttype": "application/json"},
)


def told(found):
    """Every finding renders, for people and for programs, and its place is in the file."""
    assert isinstance(render(found), str)
    for each in found:
        assert to_json(each)["code"] == each.code
        assert each.span is None or (each.span.line >= 1 and each.span.column >= 1)


def rules(raw):
    """A rule file: rules exactly where no finding is an error."""
    file = parse_toml(raw, "rules.toml")
    if isinstance(file, Diagnostic):
        told([file])
        return
    made, found = check_files([file], catalogue=catalogue(), detectors=DETECTORS)
    told(found)
    assert (made is None) == has_errors(found)


def ruletests(raw):
    """A test file: its tests run against no rules, and say in lines what they missed."""
    file = parse_toml(raw, "rules.test.toml")
    if isinstance(file, Diagnostic):
        told([file])
        return
    tests, found = parse_tests(file)
    empty, _ = check_files([], catalogue=catalogue(), detectors=DETECTORS)
    told([*found, *check_tests(tests, empty)])
    for test in tests:
        if sum(each.repeat for each in test.events) <= _TEST_EVENTS_MAX:
            result = run_test(empty, test)
            assert result.passed is (not test.expect)
            assert bool(result.difference) is not result.passed


def config(raw):
    """A config file: a config exactly where no finding is an error."""
    file = parse_toml(raw, "config.toml")
    if isinstance(file, Diagnostic):
        told([file])
        return
    made, found = check_config(file, catalogue=catalogue())
    told(found)
    assert (made is None) == has_errors(found)


def events(raw):
    """A message: each event of it can be written down and read again, and each failure has a reason of one line."""
    decoded = decode(raw, arrived_us=ARRIVED_US)
    for each in decoded.events:
        again = decode_event(encode_event(each), arrived_us=ARRIVED_US)
        assert again == [each], (again, each)
    for each in decoded.malformed:
        assert each.reason
        assert each.reason.isprintable(), each.reason
    quick = decode_event(raw, arrived_us=ARRIVED_US)
    if isinstance(quick, Malformed):
        assert decoded.malformed
    else:
        assert (quick, decoded.malformed) == (decoded.events, [])


@lru_cache(maxsize=1)
def _environment():
    return CelEnvironment({"watched": ("run-7", 3, True)})


def cel(raw):
    """A condition: problems inside its text, or an expression that gives a value or a fault, twice the same."""
    text = raw.decode(errors="replace")
    made = _environment().compile(text, scope=ScopeKind.EVENT, want=Want.ANY)
    if isinstance(made, tuple):
        assert made
        assert all(each.message and 0 <= each.offset <= len(text) for each in made), made
        return
    assert _evaluated(made) == _evaluated(made)


def _evaluated(expression):
    try:
        value = expression.evaluate(Scope(event=EVENT))
    except CelFault as fault:
        return re.sub(r"0x[0-9a-f]+", "", str(fault))
    return repr(value)


def producers(raw):
    """A message of a producer, whose name is the first line: its events are whole, and failures have short reasons."""
    name, _, body = raw.partition(b"\n")
    producer = PRODUCERS.get(name.decode(errors="replace"))
    if producer is None:
        return
    kind = "request" if len(body) % 2 else "response"
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": f"org.kubeflow.serving.inference.{kind}"}
    for content_type in ("application/json", "application/x-protobuf"):
        message = Message(body, "/http/x", ARRIVED_US, content_type=content_type, headers=headers)
        decoded = produce(producer, message, events_max=1_000)
        for each in decoded.events:
            assert decode_event(encode_event(each), arrived_us=ARRIVED_US) == [each], each
        for each in decoded.malformed:
            assert 0 < len(each.reason) < REASON_CHARS_MAX, each.reason


TARGETS = {
    "rules": rules,
    "ruletests": ruletests,
    "config": config,
    "events": events,
    "cel": cel,
    "producers": producers,
}

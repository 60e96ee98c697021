"""A review to a rule test: its recorded events on a virtual timeline, with what should come of them.

Every incident leaves one behind: one that was right must be found again after each change of the rules, a false
positive must stay quiet. `halon test add` writes it where the rules with the test really behave so.
"""

import re

from engine.clock import SECOND_US, format_duration, format_time
from engine.config import IntakeConfig
from engine.diagnostics import Diagnostic
from engine.model import Event, Json, Struct, make_key
from engine.operate.reviews import Review
from engine.review.series import as_event
from engine.rulefile.rules import RuleSet
from engine.ruletest import Happened, RuleTest, TestResult, parse_tests, run_test
from engine.tomlfile import parse_toml

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}


class NoTest(Exception):  # noqa: N818  # says what is so
    """No test can be made of it; the text says why and what to do."""


class Regression(Struct, frozen=True):
    """A rule test as text, its name, and whether something opens in it."""

    name: str
    text: str
    fires: bool


def make_test(review: Review, rules: RuleSet, *, quiet: bool, intake: IntakeConfig | None = None) -> Regression:
    """The test of an incident, tried with the rules as they are now. Raises NoTest.

    With `quiet` it says that nothing opens; the rules may not pass it yet, since that is what has to be changed.
    """
    events = _events(review)
    name = _name(review, quiet=quiet)
    found = _happened(run_test(rules, _parsed(name, _text(name, events, [])), intake), review)
    if not quiet and not found:
        raise NoTest(
            f"the {len(events)} events that were recorded around {review.detail.incident.id} do not open it anew: a "
            "signal learnt from more than these, or the rules were changed; give [recorder] in config.toml more room, "
            "or `--quiet` if it was a false positive"
        )
    expected = [] if quiet else [_expected(each) for each in found]
    return Regression(name=name, text=_text(name, events, expected), fires=not quiet)


def passes(regression: Regression, rules: RuleSet, intake: IntakeConfig | None = None) -> TestResult:
    """How the test comes out with these rules."""
    return run_test(rules, _parsed(regression.name, regression.text), intake)


def _events(review: Review) -> list[Event]:
    if review.recorded is None or not review.recorded.events:
        raise NoTest(
            f"no events were recorded around {review.detail.incident.id}: the flight recorder was off, or has gone on "
            "since; [recorder] in config.toml says how many it keeps, and how long"
        )
    return sorted((as_event(each) for each in review.recorded.events), key=lambda each: each.time_us)


def _happened(result: TestResult, review: Review) -> list[Happened]:
    """What opened in the run, if the incident is among it."""
    row = review.detail.incident
    mine = [each for each in result.happened if each.incident.incident == row.incident]
    return list(result.happened) if any(each.incident.key == make_key(row.key) for each in mine) else []


def _name(review: Review, *, quiet: bool) -> str:
    row = review.detail.incident
    return f"{row.id}-{row.incident}-{'is-left-alone' if quiet else 'is-found'}"


def _expected(happened: Happened) -> str:
    incident = happened.incident
    parts = [
        f"at = {_value(format_duration(happened.at_us))}",
        f"incident = {_value(incident.incident)}",
        f"key = {_value(dict(incident.key))}",
        f"rule = {_value(incident.rule)}",
    ]
    contain = happened.steps["contain"]
    if not any("(held: " in step for step in contain):
        parts.append(f"contain = {_value(list(contain))}")
    return f"{{ {', '.join(parts)} }}"


def _text(name: str, events: list[Event], expected: list[str]) -> str:
    began_us = events[0].time_us // SECOND_US * SECOND_US
    lines = [
        f"[test.{_key(name)}]",
        f"# The events from {format_time(began_us)} on, as they were recorded.",
        "events = [",
    ]
    lines += [f"  {_event(each, began_us)}," for each in events]
    lines += ["]", "expect = []" if not expected else "expect = [\n" + "".join(f"  {e},\n" for e in expected) + "]"]
    return "\n".join(lines) + "\n"


def _event(event: Event, began_us: int) -> str:
    parts = [f"at = {_value(format_duration(event.time_us - began_us))}", f"type = {_value(event.type)}"]
    parts += [f"id = {_value(event.id)}", f"source = {_value(event.source)}"]
    if event.subject is not None:
        parts.append(f"subject = {_value(event.subject)}")
    if event.data is not None:
        parts.append(f"data = {_value(event.data)}")
    if event.ext:
        parts.append(f"ext = {_value(event.ext)}")
    return f"{{ {', '.join(parts)} }}"


def _parsed(name: str, text: str) -> RuleTest:
    """The test as `halon test` would load it. Raises NoTest."""
    file = parse_toml(text.encode("utf-8", "surrogatepass"), f"{name}.test.toml")
    tests, found = ([], [file]) if isinstance(file, Diagnostic) else parse_tests(file)
    if found or not tests:
        raise NoTest(f"the recorded events can't be written as a rule test: {found[0].title if found else 'none'}")
    return tests[0]


def _value(value: Json) -> str:
    """A JSON value as TOML in one line. TOML has no null: members that are null are left out."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return '"' + "".join(_ESCAPES.get(each) or _char(each) for each in value) + '"'
        case list():
            return f"[{', '.join(_value(each) for each in value if each is not None)}]"
        case dict():
            members = [f"{_key(name)} = {_value(each)}" for name, each in value.items() if each is not None]
            return f"{{ {', '.join(members)} }}" if members else "{}"
        case None:
            return '""'


def _char(char: str) -> str:
    return char if char.isprintable() else f"\\U{ord(char):08X}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)

"""`*.test.toml` files to rule tests, and each test to a result: the incidents that opened against those expected.

`halon test` calls `load_tests`, `check_tests` and `run_test`. The events stand on a virtual timeline and run through
the same core as live ones; docs/rules.md, Rule tests.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.clock import SECOND_US, Duration, PositiveDuration, format_duration
from engine.config import IntakeConfig
from engine.core import Core, CoreStep
from engine.diagnostics import Diagnostic, Span, error, quoted, suggest
from engine.model import (
    Event,
    Fault,
    Incident,
    IncidentId,
    Intent,
    Json,
    Phase,
    Severity,
    Struct,
    Verdict,
    format_key,
    make_key,
)
from engine.replay import Seen
from engine.rulefile.rules import RuleSet
from engine.structread import read_struct
from engine.tomlfile import TomlFile, read_toml

START_US = 1_767_225_600 * SECOND_US
"""`0s` of every timeline: 2026-01-01T00:00:00Z."""
EVENTS_MAX = 1_000_000
"""Most events of one test."""
SUFFIX = ".test.toml"


class GivenEvent(Struct, frozen=True):
    """One entry of `events`."""

    at: Duration
    type: Annotated[str, Meta(min_length=1)]
    id: Annotated[str, Meta(min_length=1)] | None = None
    source: Annotated[str, Meta(min_length=1)] = "test"
    subject: str | None = None
    data: Any = None
    ext: dict[str, Any] = {}
    repeat: Annotated[int, Meta(ge=1, le=EVENTS_MAX)] = 1
    every: Duration = Duration(SECOND_US)


class Expected(Struct, frozen=True):
    """One entry of `expect`; what is None is not compared."""

    incident: str
    at: Duration | None = None
    key: dict[str, str] | None = None
    rule: str | None = None
    severity: Severity | None = None
    reaches: Severity | None = None
    contain: tuple[str, ...] | None = None
    investigate: tuple[str, ...] | None = None
    recover: tuple[str, ...] | None = None


class GivenWatch(Struct, frozen=True):
    """One entry of `watch`: a key that is on the watch list from `at`, `for` so long."""

    key: Annotated[dict[str, str], Meta(min_length=1)]
    at: Duration = Duration(0)
    for_: PositiveDuration = msgspec.field(name="for", default=PositiveDuration(86_400 * SECOND_US))


class _Table(Struct, frozen=True):
    """`[test.NAME]`."""

    events: tuple[GivenEvent, ...]
    expect: tuple[Expected, ...]
    watch: tuple[GivenWatch, ...] = ()
    until: Duration | None = None
    description: str = ""


class RuleTest(Struct, frozen=True):
    """One test as loaded; `places` are those of its `expect` entries."""

    file: str
    name: str
    events: tuple[GivenEvent, ...]
    expect: tuple[Expected, ...]
    until: Duration | None
    places: tuple[Span, ...]
    watch: tuple[GivenWatch, ...] = ()


class Happened(Struct, frozen=True):
    """An incident as it opened in a test, the severity that it reached, and the actions decided for it by phase."""

    at_us: int
    incident: Incident
    reached: Severity
    steps: dict[str, tuple[str, ...]]


class TestResult(Struct, frozen=True):
    """How a test came out. `difference` shows both timelines where they differ, empty if passed."""

    file: str
    name: str
    passed: bool
    difference: str
    events: int
    happened: tuple[Happened, ...]
    faults: tuple[Fault, ...]


def load_tests(paths: Iterable[Path]) -> tuple[list[RuleTest], list[Diagnostic]]:
    """The tests of all `*.test.toml` at `paths` (folders and files), in order, and what is wrong with them."""
    tests: list[RuleTest] = []
    found: list[Diagnostic] = []
    for path in _files(paths):
        read = read_toml(path)
        if isinstance(read, Diagnostic):
            found.append(read)
            continue
        more, wrong = parse_tests(read)
        tests += more
        found += wrong
    return tests, found


def parse_tests(file: TomlFile) -> tuple[list[RuleTest], list[Diagnostic]]:
    """The tests of one file that was read, and what is wrong with it."""
    tests: list[RuleTest] = []
    found = [
        error("H004", f"unknown key {quoted(key)}", file.key((key,)), label="a test file has `[test.NAME]` tables only")
        for key in file.table
        if key != "test"
    ]
    tables = file.table.get("test", {})
    if not isinstance(tables, dict):
        return [], [*found, error("H006", "`test` is not a table", file.value(("test",)), help="write `[test.NAME]`")]
    for name, table in tables.items():
        shape, wrong = read_struct(_Table, table, file, ("test", name), what=f"test {quoted(name)}")
        found += wrong
        if shape is None:
            continue
        wrong = list(_wrong_data(file, name, shape))
        found += wrong
        if wrong:
            continue
        places = tuple(file.value(("test", name, "expect", place)) for place in range(len(shape.expect)))
        tests.append(RuleTest(file.shown, name, shape.events, shape.expect, shape.until, places, shape.watch))
    return tests, found


def check_tests(tests: Iterable[RuleTest], rules: RuleSet) -> list[Diagnostic]:
    """Expectations that no rule set like this can meet: unknown incident types and rules."""
    found: list[Diagnostic] = []
    for test in tests:
        for expected, place in zip(test.expect, test.places, strict=True):
            for code, what, name, known in (
                ("H014", "incident type", expected.incident, tuple(rules.incidents)),
                ("H011", "rule", expected.rule, tuple(rules.rules)),
            ):
                if name is not None and name not in known:
                    title = f"test {quoted(test.name)} expects an unknown {what} {quoted(name)}"
                    found.append(error(code, title, place, label="can't come about", help=suggest(name, known)))
    return found


def run_test(rules: RuleSet, test: RuleTest, intake: IntakeConfig | None = None) -> TestResult:
    """Feed the events of a test to a fresh core, and compare what opened with what was expected."""
    core, seen = Core(rules, intake=intake), Seen((intake or IntakeConfig()).dedup_horizon)
    incidents: list[Incident] = []
    reached: dict[IncidentId, Severity] = {}
    intents: list[Intent] = []
    faults: list[Fault] = []

    for watch in test.watch:
        since_us = START_US + watch.at
        core.watch(make_key(watch.key), since_us=since_us, until_us=since_us + watch.for_)

    def gather(step: CoreStep) -> None:
        incidents.extend(step.opened)
        reached.update((each.id, each.severity) for each in (*step.opened, *step.updated))
        intents.extend(step.intents)
        faults.extend(step.faults)

    count, end_us = 0, START_US
    for event in _timeline(test):
        count += 1
        end_us = max(end_us, event.time_us)
        if not seen.before(event, end_us):
            gather(core.event(event, end_us))
    ends = [each.at for each in test.expect if each.at is not None] + ([test.until] if test.until is not None else [])
    gather(core.tick(max([end_us, *(START_US + each for each in ends)])))
    happened = tuple(_happened(each, reached[each.id], intents) for each in incidents)
    difference = _difference(test.expect, happened)
    return TestResult(
        file=test.file,
        name=test.name,
        passed=not difference,
        difference=difference,
        events=count,
        happened=happened,
        faults=tuple(faults),
    )


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        inside = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
        for each in inside:
            if each not in seen:
                seen.add(each)
                yield each


def _wrong_data(file: TomlFile, name: str, shape: _Table) -> Iterator[Diagnostic]:
    """What a struct cannot say: dates are no JSON, and there is a limit to the events of all entries together."""
    for place, event in enumerate(shape.events):
        for field, value in (("data", event.data), ("ext", event.ext)):
            if not _is_json(value):
                yield error(
                    "H006",
                    f"`{field}` of an event in test {quoted(name)} is no JSON",
                    file.value(("test", name, "events", place, field)),
                    label="has a date or a number that JSON has not",
                    help='write times as texts, as in "2026-01-01T00:00:00Z"',
                )
    if sum(each.repeat for each in shape.events) > EVENTS_MAX:
        title = f"test {quoted(name)} has more than {EVENTS_MAX} events"
        yield error("H003", title, file.key(("test", name)), help="repeat less often")


def _is_json(value: object) -> bool:
    match value:
        case None | bool() | str() | int():
            return True
        case float():
            return value - value == 0  # neither NaN nor infinite
        case list():
            return all(map(_is_json, value))
        case dict():
            return all(map(_is_json, value.values()))
        case _:
            return False


def _timeline(test: RuleTest) -> list[Event]:
    """The events in order of their times; equal times in the order of the file."""
    events: list[Event] = []
    for place, entry in enumerate(test.events):
        for turn in range(entry.repeat):
            given = entry.id or f"e{place + 1}"
            data: Json = entry.data
            events.append(
                Event(
                    id=f"{given}.{turn + 1}" if entry.repeat > 1 else given,
                    source=entry.source,
                    type=entry.type,
                    time_us=START_US + entry.at + turn * entry.every,
                    subject=entry.subject,
                    data=data,
                    ext=entry.ext,
                )
            )
    return sorted(events, key=lambda each: each.time_us)


def _happened(incident: Incident, reached: Severity, intents: Iterable[Intent]) -> Happened:
    steps: dict[str, tuple[str, ...]] = {}
    for phase in Phase:
        of_phase = [each for each in intents if each.incident == incident.id and each.phase is phase]
        steps[phase.value] = tuple(_step(each) for each in of_phase)
    return Happened(at_us=incident.opened_us - START_US, incident=incident, reached=reached, steps=steps)


def _step(intent: Intent) -> str:
    """The action; one that could never run is shown as such, so that no test takes it for containment."""
    broken = intent.verdict is Verdict.HOLD and not intent.approve
    return f"{intent.action} (held: {intent.reason})" if broken else intent.action


def _meets(expected: Expected, happened: Happened) -> bool:
    incident = happened.incident
    return (
        expected.incident == incident.incident
        and (expected.at is None or expected.at == happened.at_us)
        and (expected.key is None or make_key(expected.key) == incident.key)
        and (expected.rule is None or expected.rule == incident.rule)
        and (expected.severity is None or expected.severity is incident.severity)
        and (expected.reaches is None or expected.reaches is happened.reached)
        and all(steps is None or steps == happened.steps[phase] for phase, steps in _phases(expected))
    )


def _phases(expected: Expected) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    yield Phase.CONTAIN.value, expected.contain
    yield Phase.INVESTIGATE.value, expected.investigate
    yield Phase.RECOVER.value, expected.recover


def _pair(expect: Sequence[Expected], happened: Sequence[Happened]) -> dict[int, int]:
    """As many pairs (happened to expected) as can be, each of them once: augmenting paths."""
    taken: dict[int, int] = {}

    def place(wanted: int, tried: set[int]) -> bool:
        for at, each in enumerate(happened):
            if at in tried or not _meets(expect[wanted], each):
                continue
            tried.add(at)
            if at not in taken or place(taken[at], tried):
                taken[at] = wanted
                return True
        return False

    for wanted in range(len(expect)):
        place(wanted, set())
    return taken


def _difference(expect: Sequence[Expected], happened: Sequence[Happened]) -> str:
    """Both timelines as one: `-` was expected and did not happen, `+` happened and was not expected."""
    taken = _pair(expect, happened)
    missing = [each for place, each in enumerate(expect) if place not in taken.values()]
    if not missing and len(taken) == len(happened):
        return ""
    lines: list[tuple[int, int, str]] = []
    for place, each in enumerate(happened):
        mark = " " if place in taken else "+"
        lines.append((each.at_us, 1, f"{mark} {_tell_happened(each, missing)}"))
    lines += [(each.at if each.at is not None else 0, 0, f"- {_tell_expected(each)}") for each in missing]
    return "\n".join(text for _, _, text in sorted(lines, key=lambda line: line[:2])) + "\n"


def _tell_expected(expected: Expected) -> str:
    parts = [
        "at any time" if expected.at is None else format_duration(expected.at),
        expected.incident,
        "" if expected.key is None else format_key(make_key(expected.key)),
        "" if expected.rule is None else f"by rule {expected.rule}",
        "" if expected.severity is None else expected.severity.value,
        "" if expected.reaches is None else f"reaches {expected.reaches.value}",
    ]
    parts += [_tell_steps(phase, steps) for phase, steps in _phases(expected) if steps is not None]
    return "  ".join(part for part in parts if part)


def _tell_happened(happened: Happened, missing: Sequence[Expected]) -> str:
    """What happened, with the details that the missing ones speak of."""
    incident = happened.incident
    parts = [format_duration(happened.at_us), incident.incident, format_key(incident.key)]
    if any(each.rule is not None for each in missing):
        parts.append(f"by rule {incident.rule}")
    if any(each.severity is not None for each in missing):
        parts.append(incident.severity.value)
    if any(each.reaches is not None for each in missing):
        parts.append(f"reaches {happened.reached.value}")
    for phase in Phase:
        spoken_of = any(dict(_phases(each))[phase.value] is not None for each in missing)
        if spoken_of or phase is Phase.CONTAIN:
            parts.append(_tell_steps(phase.value, happened.steps[phase.value]))
    return "  ".join(parts)


def _tell_steps(phase: str, steps: tuple[str, ...]) -> str:
    return f"{phase}: {', '.join(steps) or 'nothing'}"

"""Turns what is recorded of an incident into its story: events, signals, transitions, steps, leases, acts, in order.

`engine.operate.views` asks; `halon incidents show` prints it, and the review tells it.
"""

from collections.abc import Iterator, Sequence

from engine.clock import to_datetime
from engine.model import Incident, IntentState, Phase, Signal
from engine.operate.shown import StoryLine
from engine.store import happenings, intents
from engine.store.connection import Connection
from engine.store.happenings import Happening, What
from engine.store.intents import IntentRecord

SIGNALS_MAX = 12
"""Signals that are told one by one; of the others the number and the last."""

_TOLD = set(IntentState) - {IntentState.INTENDED, IntentState.APPLYING, IntentState.APPLIED}
_STATES = {What.OPEN, What.CONTAINED, What.INVESTIGATING, What.RECOVERING, What.CLOSED}
_Line = tuple[int, int, StoryLine]


def story(connection: Connection, incident: Incident, records: Sequence[IntentRecord]) -> tuple[StoryLine, ...]:
    """Every line with its time and, where it has one, its latency from the event that set it off."""
    lines = [*_evidence(incident), *_steps(connection, records)]
    lines += [_happening(place, each) for place, each in enumerate(happenings.of_incident(connection, incident.id))]
    return tuple(line for _, _, line in sorted(lines, key=lambda each: each[:2]))


def _evidence(incident: Incident) -> Iterator[_Line]:
    signals = incident.signals
    for place, signal in enumerate(signals[:SIGNALS_MAX]):
        event = signal.event
        if event is not None:
            about = f" about {event.subject}" if event.subject is not None else ""
            told = f"{event.type} from {event.source}{about} ({event.id})"
            yield _line(event.time_us, place, "event", told)
        yield _line(signal.at_us, place, "signal", _signal(signal))
    if len(signals) > SIGNALS_MAX or incident.absorbed > len(signals):
        last = signals[-1]
        count = max(incident.absorbed, len(signals)) - min(len(signals), SIGNALS_MAX)
        yield _line(last.at_us, len(signals), "signal", f"… {count:,} more signals, the last kept one {last.signal}")


def _signal(signal: Signal) -> str:
    finding = signal.finding
    value = "" if finding.value is None else f", value {finding.value:g}"
    threshold = "" if finding.threshold is None else f" against {finding.threshold:g}"
    return f"{signal.signal}: {finding.detail}{value}{threshold}"


def _steps(connection: Connection, records: Sequence[IntentRecord]) -> Iterator[_Line]:
    """When steps were decided, and what came of each that counts."""
    decided: dict[int, list[IntentRecord]] = {}
    for record in records:
        decided.setdefault(record.stations.matched_us, []).append(record)
    for at_us, made in decided.items():
        phases = [
            f"{phase.value}: {', '.join(each.intent.action for each in made if each.intent.phase is phase)}"
            for phase in Phase
            if any(each.intent.phase is phase for each in made)
        ]
        yield _line(at_us, 1_000, "decided", "; ".join(phases))
    for place, record in enumerate(records):
        for each in intents.transitions(connection, record.intent.id):
            if each.state in _TOLD and not (each.state is IntentState.SKIPPED and each.reason == ""):
                yield _line(
                    each.at_us,
                    2_000 + place,
                    each.state.value,
                    _step(record, each.state, each.reason),
                    after_us=each.at_us - record.stations.event_us if each.state is IntentState.VERIFIED else None,
                )
            elif each.state is IntentState.INTENDED and record.approved_by and each.reason.startswith("approved by"):
                yield _line(
                    each.at_us,
                    2_000 + place,
                    "approved",
                    _step(record, each.state, each.reason),
                    who=record.approved_by,
                )


def _step(record: IntentRecord, state: IntentState, reason: str) -> str:
    intent = record.intent
    target = f" on {record.plan.target.name}" if record.plan is not None else ""
    place = f"{intent.phase.value}.{intent.step} {intent.action}{target}"
    stations = record.stations
    if state is IntentState.VERIFIED and stations.applying_us and stations.applied_us and stations.verified_us:
        took = stations.applied_us - stations.applying_us
        read = stations.verified_us - stations.applied_us
        return f"{place}: took {took / 1_000:.1f} ms, read back in {read / 1_000:.1f} ms: {reason}"
    return f"{place}: {reason}" if reason else place


def _happening(place: int, each: Happening) -> _Line:
    who = "" if each.who == "halon" else each.who
    kind, text = each.what.value, each.reason
    if each.what in _STATES:
        was, resolution = each.body.get("from"), each.body.get("resolution")
        kind = "opened" if was is None and each.what is What.OPEN else each.what.value
        if each.what is What.OPEN and was == "closed":
            kind = "reopened"
        of = f" of {each.body['duplicate_of']}" if each.body.get("duplicate_of") else ""
        text = f"as {resolution}{of}{f': {text}' if text else ''}" if each.what is What.CLOSED else text
    elif each.what is What.LEASE:
        text = f"{each.body.get('kind')} {each.body.get('lease')}: {text or each.body.get('target')}"
    elif each.what is What.DEADLINE_MISSED:
        text = f"{each.body.get('phase')}, said {each.body.get('level')} of {each.body.get('levels')} times: {text}"
    elif each.what in {What.NOTICE_SENT, What.NOTICE_FAILED}:
        text = f"to {each.body.get('channel')}: {text}"
    return _line(each.at_us, 500 if kind in {"opened", "reopened"} else 3_000 + place, kind, text, who=who)


def _line(at_us: int, rank: int, kind: str, text: str, *, who: str = "", after_us: int | None = None) -> _Line:
    after_ms = None if after_us is None else after_us / 1_000
    return at_us, rank, StoryLine(at=to_datetime(at_us), kind=kind, text=text, who=who, after_ms=after_ms)

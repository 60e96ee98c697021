"""Recorded events to what these rules would have done, by the same core on a virtual clock; acts on nothing.

`halon replay` calls `open_lines`, `Recording`, `Replay` and `compare`; the output lines are those of docs/rules.md.
Time is the newest event time so far.
"""

import gzip
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from engine.clock import TIME_MIN_US, format_time
from engine.cloudevents import decode
from engine.config import IntakeConfig, LimitsConfig
from engine.core import Core, CoreStep
from engine.model import Event, Fault, Incident, Intent, Json, Mode, Signal, Struct
from engine.rulefile.rules import RuleSet

LINE_BYTES_MAX = 1_048_576
"""A longer line is a fault, as a larger message is in the daemon."""
DEDUP_EVENTS_MAX = 1_000_000
"""Ids of events kept to drop duplicates within the horizon; the oldest go first."""


class Line(Struct, frozen=True):
    """A line of output: `kind` and what belongs to it, ready for JSON."""

    fields: dict[str, Json]

    @property
    def kind(self) -> str:
        """`signal`, `incident`, `intent`, `fault` or `summary`."""
        return str(self.fields["kind"])


class Unreadable(Exception):  # noqa: N818  # told to the operator as it is
    """The recording cannot be read; the message says why."""


@contextmanager
def open_lines(path: str) -> Iterator[BinaryIO]:
    """A recording opened for reading: a file, a `.gz` of one, or `-` for standard input. Raises OSError."""
    if path == "-":
        yield sys.stdin.buffer
        return
    with Path(path).open("rb") as raw:
        if path.endswith(".gz"):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast("BinaryIO", unpacked)
        else:
            yield raw


class Recording:
    """The events of a recording, one CloudEvent (or JSON batch) a line; what can't be decoded is a `Fault` line.

    `lines` and `bytes_read` say how far it has come, for a progress bar.
    """

    def __init__(self, file: BinaryIO, *, since_us: int | None = None, until_us: int | None = None) -> None:
        """Only events with `since_us` <= time < `until_us` are taken."""
        self._file = file
        self._since_us = since_us
        self._until_us = until_us
        self.lines = 0
        self.bytes_read = 0
        self._newest_us = TIME_MIN_US

    def __iter__(self) -> Iterator[Event | Line]:
        for raw in self._raw_lines():
            if raw is None:
                yield self._fault(f"the line is longer than {LINE_BYTES_MAX} bytes")
                continue
            decoded = decode(raw, arrived_us=self._newest_us)
            for event in decoded.events:
                if self._since_us is not None and event.time_us < self._since_us:
                    continue
                if self._until_us is not None and event.time_us >= self._until_us:
                    continue
                self._newest_us = max(self._newest_us, event.time_us)
                yield event
            for each in decoded.malformed:
                place = "" if each.index is None else f"event {each.index} of the batch: "
                yield self._fault(place + each.reason)

    def _raw_lines(self) -> Iterator[bytes | None]:
        """The lines that are not blank; None for one that is too long."""
        try:
            while raw := self._file.readline(LINE_BYTES_MAX + 2):
                self.lines += 1
                self.bytes_read += len(raw)
                if len(raw.rstrip(b"\r\n")) > LINE_BYTES_MAX:
                    while raw and not raw.endswith(b"\n"):
                        raw = self._file.readline(LINE_BYTES_MAX)
                        self.bytes_read += len(raw)
                    yield None
                elif raw.strip():
                    yield raw
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Unreadable(f"after line {self.lines} the compressed file is damaged: {error}") from error

    def _fault(self, reason: str) -> Line:
        return Line({"kind": "fault", "line": self.lines, "reason": reason})


class Replay:
    """One rule set over a recording: `lines()` yields the output, the summary last."""

    def __init__(
        self,
        rules: RuleSet,
        recording: Iterable[Event | Line],
        *,
        limits: LimitsConfig | None = None,
        intake: IntakeConfig | None = None,
        mode: Mode = Mode.ENFORCE,
    ) -> None:
        intake = intake or IntakeConfig()
        self.core = Core(rules, limits, intake, mode)
        self._recording = recording
        self._newest_us = TIME_MIN_US
        self._seen = Seen(intake.dedup_horizon)
        self.counts: Counter[str] = Counter()

    def lines(self) -> Iterator[Line]:
        """The output, line by line."""
        for each in self._recording:
            if isinstance(each, Line):
                self.counts["fault"] += 1
                yield each
                continue
            self.counts["event"] += 1
            self._newest_us = max(self._newest_us, each.time_us)
            if self._seen.before(each, self._newest_us):
                self.counts["duplicate"] += 1
                continue
            for line in step_lines(self.core.event(each, self._newest_us)):
                self.counts[line.kind] += 1
                yield line
        yield self._summary()

    def _summary(self) -> Line:
        fields: dict[str, Json] = {"kind": "summary", "events": self.counts["event"]}
        for kind in ("fault", "signal", "incident", "intent"):
            fields[kind + "s"] = self.counts[kind]
        if self.counts["duplicate"]:
            fields["duplicates"] = self.counts["duplicate"]
        return Line(fields)


class Seen:
    """Events seen within the horizon, by source and id."""

    def __init__(self, horizon_us: int) -> None:
        self._horizon_us = horizon_us
        self._at: dict[tuple[str, str], int] = {}

    def before(self, event: Event, now_us: int) -> bool:
        """Whether an event with that source and id was seen less than the horizon ago."""
        name = (event.source, event.id)
        seen_us = self._at.get(name)
        if seen_us is not None and now_us - seen_us <= self._horizon_us:
            return True
        self._at.pop(name, None)
        self._at[name] = now_us
        if len(self._at) > DEDUP_EVENTS_MAX:
            del self._at[next(iter(self._at))]
        return False


def step_lines(step: CoreStep) -> Iterator[Line]:
    """A step of the core as lines of output, in order of time; at equal times what came of a thing comes after it."""
    timed: list[tuple[int, int, Line]] = []
    timed += [(each.at_us, 0, _fault_line(each)) for each in step.faults]
    timed += [(each.at_us, 1, _signal_line(each)) for each in step.signals]
    timed += [(each.opened_us, 2, _incident_line(each)) for each in step.opened]
    timed += [(each.at_us, 3, _intent_line(each)) for each in step.intents]
    for _, _, line in sorted(timed, key=lambda each: each[:2]):
        yield line


def _signal_line(signal: Signal) -> Line:
    fields: dict[str, Json] = {
        "kind": "signal",
        "at": format_time(signal.at_us),
        "signal": signal.signal,
        "key": dict(signal.key),
    }
    if signal.finding.value is not None:
        fields["value"] = signal.finding.value
    if signal.event is not None:
        fields["event"] = signal.event.id
    return Line(fields)


def _incident_line(incident: Incident) -> Line:
    return Line(
        {
            "kind": "incident",
            "at": format_time(incident.opened_us),
            "incident": incident.incident,
            "rule": incident.rule,
            "severity": incident.severity.value,
            "key": dict(incident.key),
            "state": incident.state.value,
        }
    )


def _intent_line(intent: Intent) -> Line:
    fields: dict[str, Json] = {
        "kind": "intent",
        "at": format_time(intent.at_us),
        "incident": intent.incident_type,
        "key": dict(intent.key),
        "phase": intent.phase.value,
        "action": intent.action,
        "params": intent.params,
        "verdict": intent.verdict.value,
    }
    if intent.reason:
        fields["reason"] = intent.reason
    return Line(fields)


def _fault_line(fault: Fault) -> Line:
    return Line(
        {
            "kind": "fault",
            "at": format_time(fault.at_us),
            "owner": fault.owner,
            "field": fault.field,
            "reason": fault.reason,
            "event": fault.event_id,
        }
    )


def encode_line(line: Line) -> bytes:
    """A line as JSON with its newline."""
    return msgspec.json.encode(line.fields) + b"\n"


class Difference(Struct, frozen=True):
    """What two rule sets make of the same events: signals, incidents and intents of only one of them, in order."""

    removed: tuple[Line, ...]
    added: tuple[Line, ...]
    before: Line
    after: Line
    """The summaries."""


DIFFERENT_MAX = 1_000_000
"""Lines compared on each side; `Difference` of longer outputs would not fit in memory."""


def compare(before: Replay, after: Replay) -> Difference:
    """Run both and take what is equal away. `before` and `after` need recordings of their own."""
    old, new = _output(before), _output(after)
    old_counts, new_counts = Counter(map(encode_line, old)), Counter(map(encode_line, new))
    return Difference(
        removed=tuple(_only(old[:-1], old_counts - new_counts)),
        added=tuple(_only(new[:-1], new_counts - old_counts)),
        before=old[-1],
        after=new[-1],
    )


def _output(replay: Replay) -> list[Line]:
    lines: list[Line] = []
    for line in replay.lines():
        if line.kind == "summary" or (line.kind != "fault" or "owner" in line.fields):
            lines.append(line)
        if len(lines) > DIFFERENT_MAX:
            raise Unreadable(f"more than {DIFFERENT_MAX} lines of output: compare less, with --since and --until")
    return lines


def _only(lines: Iterable[Line], left: Counter[bytes]) -> Iterator[Line]:
    for line in lines:
        encoded = encode_line(line)
        if left[encoded] > 0:
            left[encoded] -= 1
            yield line

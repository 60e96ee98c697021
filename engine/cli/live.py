"""`halon replay --live`: a recording into the running daemon, through its control socket, at a pace.

`engine.cli.replay` calls `feed_live`. The daemon takes part after part and answers when each is durable, so that at the
end, or where it stops, it is known how many events it has.
"""

import asyncio
import secrets
from collections.abc import Iterable
from typing import Any

import msgspec

from engine.cli.output import emit, note, plural, say
from engine.cli.setup import Failure
from engine.clock import SECOND_US, Clock
from engine.cloudevents import encode_event
from engine.model import Event, Struct
from engine.operate.client import Client, ClientError, DaemonDown
from engine.operate.contract import HANDED_EVENTS_MAX, Handed, NotDone
from engine.replay import Line

GATHER_US = SECOND_US // 10
"""Events that are due so close to each other go in one request."""
PART_BYTES_MAX = 1_048_576
FAULTS_SHOWN_MAX = 5


class Pace(Struct, frozen=True):
    """How a recording is fed. `speed` 2 is twice as fast as it was recorded, None as fast as the daemon takes it."""

    speed: float | None = 1.0
    keep: bool = False
    enforce: bool = False


class LiveReport(Struct, frozen=True):
    """What `halon replay --live --json` prints: events that the daemon has, and lines that were none."""

    run: str
    events: int
    new: int
    duplicates: int
    faults: int
    seconds: float


def feed_live(
    client: Client, recording: Iterable[Event | Line], *, name: str, pace: Pace, as_json: bool, clock: Clock
) -> None:
    """Feed it all. Raises Failure where the daemon does not take it, with how far it came."""
    feeding = _Feeding(client, name=name, pace=pace, clock=clock)
    try:
        asyncio.run(feeding.run(recording))
    except (Failure, KeyboardInterrupt) as end:
        why = "interrupted" if isinstance(end, KeyboardInterrupt) else end.message
        raise Failure(f"{why}\n{_taken(feeding.report())} before that") from None
    report = feeding.report()
    if as_json:
        emit(report)
    else:
        say(f"{_taken(report)} in {report.seconds:.1f} s (run {report.run})", "green")
    if report.faults:
        raise Failure(f"{plural(report.faults, 'line')} of the recording could not be read")


class _Feeding:
    """One run: what is gathered for the next request, and what the daemon has."""

    def __init__(self, client: Client, *, name: str, pace: Pace, clock: Clock) -> None:
        self._client = client
        self._name = name[-200:]
        self._pace = pace
        self._clock = clock
        self._run = secrets.token_hex(4)
        self._began_us = clock.now_us()
        self._began_s = clock.monotonic_s()
        self._first_us: int | None = None
        self._newest_us = 0
        self._part: list[msgspec.Raw] = []
        self._part_bytes = 0
        self._part_due_us = 0
        self._sent_any = False
        self._events = self._new = self._duplicates = self._faults = 0

    async def run(self, recording: Iterable[Event | Line]) -> None:
        for each in recording:
            if isinstance(each, Line):
                self._fault(each)
                continue
            if self._first_us is None:
                self._first_us = self._newest_us = each.time_us
            self._newest_us = max(self._newest_us, each.time_us)
            due_us = self._due_us(self._newest_us)
            if self._part and (due_us > self._part_due_us + GATHER_US or self._full()):
                await self._send()
            if not self._part:
                self._part_due_us = due_us
            raw = encode_event(self._shifted(each))
            self._part.append(msgspec.Raw(raw))
            self._part_bytes += len(raw)
        await self._send(last=True)

    def report(self) -> LiveReport:
        return LiveReport(
            run=self._run,
            events=self._events,
            new=self._new,
            duplicates=self._duplicates,
            faults=self._faults,
            seconds=round(self._clock.monotonic_s() - self._began_s, 3),
        )

    def _due_us(self, time_us: int) -> int:
        """When what was recorded then is to be sent, in microseconds after the first event."""
        assert self._first_us is not None, "set at the first event"
        return 0 if self._pace.speed is None else round((time_us - self._first_us) / self._pace.speed)

    def _shifted(self, event: Event) -> Event:
        """The event as it is sent: with an id of this run and the time of now, unless it is to be kept as it was."""
        if self._pace.keep:
            return event
        time_us = self._clock.now_us() if self._pace.speed is None else self._began_us + self._due_us(event.time_us)
        ext: dict[str, Any] = {**event.ext, "replayof": event.id[:1_000], "replayrun": self._run}
        return msgspec.structs.replace(event, id=f"replay-{self._run}-{event.id[:1_900]}", time_us=time_us, ext=ext)

    def _full(self) -> bool:
        return len(self._part) >= HANDED_EVENTS_MAX or self._part_bytes >= PART_BYTES_MAX

    async def _send(self, *, last: bool = False) -> None:
        late_s = self._clock.monotonic_s() - self._began_s - self._part_due_us / SECOND_US
        if late_s < 0:
            await self._clock.sleep_s(-late_s)
        handed = Handed(
            events=tuple(self._part),
            recording=self._name,
            run=self._run,
            first=not self._sent_any,
            last=last,
            enforce=self._pace.enforce,
        )
        try:
            answer = self._client.hand_in(handed)
        except DaemonDown as down:
            raise Failure(f"{down}; a recording is fed to a daemon that runs") from down
        except ClientError as error:
            raise Failure(str(error)) from error
        if isinstance(answer, NotDone):
            raise Failure(answer.reason)
        self._sent_any = True
        self._events += len(self._part)
        self._new += answer.new
        self._duplicates += answer.duplicates
        self._part, self._part_bytes = [], 0

    def _fault(self, line: Line) -> None:
        self._faults += 1
        if self._faults <= FAULTS_SHOWN_MAX:
            note(f"line {line.fields['line']} is left out: {line.fields['reason']}", "yellow")


def _taken(report: LiveReport) -> str:
    seen = f", {report.duplicates:,} of them seen before" if report.duplicates else ""
    return f"{plural(report.events, 'event')} taken{seen}"

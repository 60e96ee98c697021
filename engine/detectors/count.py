"""`count`: times of events to a finding, where enough of them lie close together; found by name in `table.py`."""

from bisect import bisect_left, bisect_right
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.clock import PositiveDuration, format_duration
from engine.detectors.contract import Detector, Observation, Params
from engine.detectors.evidence import EVIDENCE_BYTES_MAX, note
from engine.model import Event, Finding, Json


class CountParams(Params, frozen=True):
    """`at_least` events within `within`."""

    at_least: Annotated[int, Meta(ge=1, le=100_000)]
    within: PositiveDuration


class _State(msgspec.Struct, array_like=True):
    newest_us: int | None
    stamps: list[int]
    ids: list[str]


_encoder = msgspec.msgpack.Encoder()


class Count(Detector[CountParams]):
    """`at_least` events that lie within `within` of each other; the window is then emptied.

    Parameters: `at_least` (events), `within` (event time).
    False alarms: at a mean rate of r a second, about the Poisson tail P(N >= at_least) of r * within for each window.
    Late events count in full up to the lateness allowed. For different values use `distinct`, for a share `ratio`.
    Memory: fewer than `at_least` time stamps for each `within` remembered.
    Source: the sliding-window count of event processing; docs/rules.md, Exact meaning, 13.

    >>> from engine.clock import Duration
    >>> from engine.detectors.contract import Observation
    >>> detector = Count(CountParams(at_least=3, within=Duration(10_000_000)))
    >>> times_s = [0, 20, 24, 30, 31]
    >>> [detector.update(Observation(t * 1_000_000, f"e{t}", "s")) is not None for t in times_s]
    [False, False, False, True, False]
    """

    method = "count"
    params_type = CountParams
    restarts = True

    def __init__(self, params: CountParams) -> None:
        super().__init__(params)
        # A Duration is a subclass of int, which is slower to reckon with
        self._within_us = int(params.within)
        self._newest_us: int | None = None
        self._stamps: list[int] = []
        self._ids: list[str] = []

    def update(self, observation: Observation) -> Finding | None:
        return self._count(observation.at_us, observation.event_id)

    def observe(self, event: Event, at_us: int, value: float | None, of: Json) -> Finding | None:
        del value, of
        return self._count(at_us, event.id)

    def _count(self, at_us: int, event_id: str) -> Finding | None:
        stamps, newest_us, within_us = self._stamps, self._newest_us, self._within_us
        reach_us = within_us + self.lateness_us
        if newest_us is None or at_us >= newest_us:
            self._newest_us = at_us
            if stamps and stamps[0] < at_us - reach_us:
                del stamps[: bisect_left(stamps, at_us - reach_us)]
            stamps.append(at_us)
            needed = self.params.at_least
            found = len(stamps) >= needed and at_us - stamps[-needed] <= within_us
        elif at_us < newest_us - reach_us:
            return None
        else:
            found = self._place_late(at_us)
        note(self._ids, event_id)
        return self._find() if found else None

    def _place_late(self, at_us: int) -> bool:
        """Put a late time stamp in its place; whether a window with it has enough."""
        stamps, needed = self._stamps, self.params.at_least
        place = bisect_right(stamps, at_us)
        stamps.insert(place, at_us)
        first, last = max(0, place - needed + 1), min(place, len(stamps) - needed)
        return any(stamps[i + needed - 1] - stamps[i] <= self._within_us for i in range(first, last + 1))

    def _find(self) -> Finding:
        needed = self.params.at_least
        ids = tuple(self._ids[-needed:])
        self._stamps.clear()
        self._ids.clear()
        detail = f"{needed} event{'' if needed == 1 else 's'} within {format_duration(self.params.within)}"
        return Finding(detail=detail, value=float(needed), threshold=float(needed), event_ids=ids)

    def dump(self) -> bytes:
        return _encoder.encode((self._newest_us, self._stamps, self._ids))  # a `_State`, without making one

    def load(self, blob: bytes) -> None:
        state = msgspec.msgpack.decode(blob, type=_State)
        self._newest_us, self._stamps, self._ids = state.newest_us, state.stamps, state.ids

    def bytes_max(self) -> int:
        windows = (self.params.within + self.lateness_us) // self.params.within + 1
        return 9 * (self.params.at_least * windows + 1) + EVIDENCE_BYTES_MAX + 16

"""What `sum`, `mean`, `min`, `max` and `ratio` share: a window in event time of bounded memory, judged by one figure.

The window of an observation is the stretch of `within` that ends with it, so that a late one is judged by its own.
Called by the detector files of this folder only.
"""

import math
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from engine.clock import PositiveDuration, format_duration
from engine.detectors.contract import Detector, Observation, Params
from engine.detectors.values import usable
from engine.model import Finding

PANES = 64
"""Past `ENTRIES_MIN`, observations within the same 64th of `within` are kept as one."""
ENTRIES_MIN = 512
"""So many observations are always kept one by one."""


class WindowParams(Params, frozen=True):
    """`within`, and how many observations it takes (`min_events`)."""

    within: PositiveDuration
    min_events: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class BoundParams(WindowParams, frozen=True):
    """Also the bounds: `above` and `below`, at least one."""

    above: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise ValueError("`above` or `below` is needed")


class _State(msgspec.Struct, array_like=True):
    newest_us: int | None
    times: list[int]
    counts: list[int]
    amounts: list[float]


WindowParamsT = TypeVar("WindowParamsT", bound=WindowParams)


class WindowDetector(Detector[WindowParamsT]):
    """Observations as sorted entries (time, count, amount); a finding when the figure over the window says so."""

    def __init__(self, params: WindowParamsT) -> None:
        super().__init__(params)
        self._newest_us: int | None = None
        self._times: list[int] = []
        self._counts: list[int] = []
        self._amounts: list[float] = []

    @abstractmethod
    def amount(self, observation: Observation) -> float | None:
        """What the observation adds; None where it is no number, and changes nothing."""

    @abstractmethod
    def merge(self, amounts: list[float]) -> float:
        """The amount of several; at least one."""

    @abstractmethod
    def judge(self, amount: float, count: int) -> Finding | None:
        """The finding for a window of `count` observations with that amount together."""

    def update(self, observation: Observation) -> Finding | None:
        at_us, amount = observation.at_us, self.amount(observation)
        if amount is None:
            return None
        reach_us = self.params.within + self.lateness_us
        if self._newest_us is None or at_us > self._newest_us:
            self._newest_us = at_us
            self._forget(at_us - reach_us)
        elif at_us < self._newest_us - reach_us:
            return None
        place = bisect_right(self._times, at_us)
        self._times.insert(place, at_us)
        self._counts.insert(place, 1)
        self._amounts.insert(place, amount)
        start, end = bisect_left(self._times, at_us - self.params.within), place + 1
        count = sum(self._counts[start:end])
        finding = None
        if count >= self.params.min_events:
            finding = self.judge(self.merge(self._amounts[start:end]), count)
        if len(self._times) > self._entries_max():
            self._compact()
        if finding is None:
            return None
        return msgspec.structs.replace(finding, event_ids=(observation.event_id,))

    def over(self, count: int) -> str:
        """`of 12 events over 5m`: for the sentence of a finding."""
        return f"of {count} event{'' if count == 1 else 's'} over {format_duration(self.params.within)}"

    def _forget(self, before_us: int) -> None:
        gone = bisect_left(self._times, before_us)
        if gone:
            del self._times[:gone], self._counts[:gone], self._amounts[:gone]

    def _compact(self) -> None:
        """Make one entry of those in the same pane, at the time of its newest: it leaves a little late, never early."""
        grain_us = -(-self.params.within // PANES)
        times, counts, amounts = self._times, self._counts, self._amounts
        self._times, self._counts, self._amounts = [], [], []
        start = 0
        for end in range(1, len(times) + 1):
            if end == len(times) or times[end] // grain_us != times[start] // grain_us:
                self._times.append(times[end - 1])
                self._counts.append(sum(counts[start:end]))
                self._amounts.append(self.merge(amounts[start:end]))
                start = end

    def _entries_max(self) -> int:
        windows = -(-(self.params.within + self.lateness_us) // self.params.within)
        return max(ENTRIES_MIN, 2 * PANES * windows)

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(_State(self._newest_us, self._times, self._counts, self._amounts))

    def load(self, blob: bytes) -> None:
        state = msgspec.msgpack.decode(blob, type=_State)
        if not len(state.times) == len(state.counts) == len(state.amounts):
            raise msgspec.ValidationError(f"state of {self.method}: lists of different lengths")
        self._newest_us = state.newest_us
        self._times, self._counts, self._amounts = state.times, state.counts, state.amounts

    def bytes_max(self) -> int:
        return 27 * (self._entries_max() + 1) + 32


class ValueWindow(WindowDetector[BoundParams]):
    """A window over `value`, judged by `above` and `below`."""

    params_type = BoundParams
    needs_value = True

    def amount(self, observation: Observation) -> float | None:
        return usable(observation.value)

    def merge(self, amounts: list[float]) -> float:
        return math.fsum(amounts)

    def figure(self, amount: float, count: int) -> float:
        """What is compared."""
        del count
        return amount

    def judge(self, amount: float, count: int) -> Finding | None:
        figure = self.figure(amount, count)
        return beyond(figure, self.params.above, self.params.below, f"{self.method} {self.over(count)}")


def beyond(figure: float, above: float | None, below: float | None, what: str) -> Finding | None:
    """The finding when `figure` lies beyond a bound; `what` says what it is the figure of."""
    if above is not None and figure > above:
        return Finding(detail=f"{what} is {figure:g}, above {above:g}", value=figure, threshold=above)
    if below is not None and figure < below:
        return Finding(detail=f"{what} is {figure:g}, below {below:g}", value=figure, threshold=below)
    return None

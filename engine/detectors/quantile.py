"""`quantile`: values to a finding, where a quantile over a window lies beyond a bound; found by name in `table.py`."""

from bisect import bisect_left, bisect_right
from fractions import Fraction
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.clock import format_duration
from engine.detectors.contract import Detector, Observation
from engine.detectors.values import usable
from engine.detectors.windowed import BoundParams, beyond
from engine.model import Finding


class QuantileParams(BoundParams, frozen=True, kw_only=True):
    """Also `q`, 0 to 1, and how many observations are kept at most (`events_max`)."""

    q: Annotated[float, Meta(ge=0.0, le=1.0)]
    events_max: Annotated[int, Meta(ge=1, le=10_000)] = 1_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_events > self.events_max:
            raise ValueError("`min_events` is larger than `events_max`")


class _State(msgspec.Struct, array_like=True):
    newest_us: int | None
    times: list[int]
    values: list[float]


class Quantile(Detector[QuantileParams]):
    """The quantile `q` of `value` over the window that ends with each observation: the ceil(q n)-th smallest of n.

    Parameters: `q` (0 to 1), `above`, `below` (unit of the value), `within` (event time), `min_events` (observations,
    1), `events_max` (observations kept, the newest; 1000).
    Exact on what is kept. With more than `events_max` observations in the window it is the quantile of the newest; its
    rank then has a standard error of sqrt(q (1 - q) / events_max): 0.3 % for q = 0.99 and 1000.
    False alarms: those of the bound you choose. For the centre use `mean`.
    Source: nearest-rank definition, Hyndman and Fan (1996), definition 1; docs/rules.md, Exact meaning, 16.

    >>> from engine.clock import Duration
    >>> detector = Quantile(QuantileParams(q=0.5, above=2.0, within=Duration(100), min_events=3))
    >>> values = [1.0, 9.0, 1.0, 9.0, 9.0]
    >>> [detector.update(Observation(i, f"e{i}", "s", v)) is not None for i, v in enumerate(values)]
    [False, False, False, False, True]
    """

    method = "quantile"
    params_type = QuantileParams
    needs_value = True

    def __init__(self, params: QuantileParams) -> None:
        super().__init__(params)
        # What is written is meant: 0.07 of 100 is 7, which floating point makes 7.000000000000001 of.
        self._share = Fraction(repr(params.q))
        self._newest_us: int | None = None
        self._times: list[int] = []
        self._values: list[float] = []

    def update(self, observation: Observation) -> Finding | None:
        at_us, value = observation.at_us, usable(observation.value)
        if value is None:
            return None
        reach_us = self.params.within + self.lateness_us
        if self._newest_us is None or at_us > self._newest_us:
            self._newest_us = at_us
            gone = bisect_left(self._times, at_us - reach_us)
            del self._times[:gone], self._values[:gone]
        elif at_us < self._newest_us - reach_us:
            return None
        place = bisect_right(self._times, at_us)
        if len(self._times) == self.params.events_max:
            if place == 0:
                return None
            del self._times[0], self._values[0]
            place -= 1
        self._times.insert(place, at_us)
        self._values.insert(place, value)
        window = sorted(self._values[bisect_left(self._times, at_us - self.params.within) : place + 1])
        if len(window) < self.params.min_events:
            return None
        rank = -(-self._share.numerator * len(window) // self._share.denominator)
        what = f"quantile {self.params.q:g} of {len(window)} events over {format_duration(self.params.within)}"
        finding = beyond(window[max(0, rank - 1)], self.params.above, self.params.below, what)
        return finding and msgspec.structs.replace(finding, event_ids=(observation.event_id,))

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(_State(self._newest_us, self._times, self._values))

    def load(self, blob: bytes) -> None:
        state = msgspec.msgpack.decode(blob, type=_State)
        if len(state.times) != len(state.values):
            raise msgspec.ValidationError("state of quantile: lists of different lengths")
        self._newest_us, self._times, self._values = state.newest_us, state.times, state.values

    def bytes_max(self) -> int:
        return 18 * self.params.events_max + 32

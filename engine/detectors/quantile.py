"""`quantile`: values to a finding, where a quantile over a window lies beyond a bound; found by name in `table.py`."""

from bisect import bisect_left, bisect_right
from fractions import Fraction
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.clock import format_duration
from engine.detectors.contract import Detector, Observation
from engine.detectors.ddsketch import SLICE_BYTES_MAX, Bins, SlicedDDSketch
from engine.detectors.values import usable
from engine.detectors.windowed import BoundParams, beyond
from engine.model import Finding

SLICES = 32
"""Slices of a window in a sketch."""
SLICES_MAX = 2 * SLICES + 2
"""Remembered of a key: those of a window, and of as much again for late observations."""


class QuantileParams(BoundParams, frozen=True, kw_only=True):
    """Also `q`, 0 to 1, and of how many observations in memory each is kept (`events_max`)."""

    q: Annotated[float, Meta(ge=0.0, le=1.0)]
    events_max: Annotated[int, Meta(ge=1, le=10_000)] = 1_000


class _State(msgspec.Struct, array_like=True):
    newest_us: int | None
    times: list[int]
    values: list[float]
    slices: list[tuple[int, dict[int, int]]] | None = None


class Quantile(Detector[QuantileParams]):
    """The quantile `q` of `value` over the window that ends with each observation: the ceil(q n)-th smallest of n.

    Parameters: `q` (0 to 1), `above`, `below` (unit of the value), `within` (event time), `min_events` (observations,
    1), `events_max` (observations that are kept one by one, 1000).
    Exact while a key has at most `events_max` observations in memory. Past that a sketch takes their place, until the
    key was silent for so long that nothing is left: the figure is then within 1 % of the exact one, of a window that
    begins at a 32nd of `within` and so reaches back up to that much further.
    Memory: 18 bytes for each observation kept; in the sketch up to 66 slices of at most 512 bins, usually some hundred
    bins of a few bytes in all.
    False alarms: those of the bound you choose. For the centre use `mean`.
    Source: nearest-rank definition, Hyndman and Fan (1996), definition 1; Masson, Rim and Lee (2019), DDSketch, PVLDB
    12(12); docs/rules.md, Exact meaning, 16.

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
        self._grain_us = -(-params.within // SLICES)
        self._newest_us: int | None = None
        self._times: list[int] = []
        self._values: list[float] = []
        self._sketch: SlicedDDSketch | None = None

    def update(self, observation: Observation) -> Finding | None:
        at_us, value, within = observation.at_us, usable(observation.value), self.params.within
        if value is None:
            return None
        reach_us = within + (self.lateness_us if self._sketch is None else min(self.lateness_us, within))
        newest_us = self._newest_us
        is_newest = newest_us is None or at_us >= newest_us
        if newest_us is None or at_us >= newest_us:
            self._newest_us = at_us
            self._forget(at_us - reach_us)
        elif at_us < newest_us - reach_us:
            return None
        figure, count = (
            self._exact(at_us, value) if self._sketch is None else self._sketched(at_us, value, is_newest=is_newest)
        )
        if count < self.params.min_events:
            return None
        what = f"quantile {self.params.q:g} of {count} events over {format_duration(within)}"
        finding = beyond(figure, self.params.above, self.params.below, what)
        return finding and msgspec.structs.replace(finding, event_ids=(observation.event_id,))

    def _exact(self, at_us: int, value: float) -> tuple[float, int]:
        """Figure and size of the window of one more observation, each kept; or by a sketch from now on."""
        place = bisect_right(self._times, at_us)
        self._times.insert(place, at_us)
        self._values.insert(place, value)
        if len(self._times) > self.params.events_max:
            is_newest = place == len(self._times) - 1
            self._go_over()
            assert self._sketch is not None
            return self._judged(self._sketch, at_us, is_newest=is_newest)
        window = sorted(self._values[bisect_left(self._times, at_us - self.params.within) : place + 1])
        return window[self._rank(len(window)) - 1], len(window)

    def _go_over(self) -> None:
        """Put all that is kept into a sketch, but what is later than it remembers."""
        assert self._newest_us is not None
        sketch = self._sketch = SlicedDDSketch()
        for at_us, value in zip(self._times, self._values, strict=True):
            sketch.add(at_us // self._grain_us, value)
        self._times, self._values = [], []
        self._forget(self._newest_us - self.params.within - min(self.lateness_us, self.params.within))

    def _sketched(self, at_us: int, value: float, *, is_newest: bool) -> tuple[float, int]:
        assert self._sketch is not None
        self._sketch.add(at_us // self._grain_us, value)
        return self._judged(self._sketch, at_us, is_newest=is_newest)

    def _judged(self, sketch: SlicedDDSketch, at_us: int, *, is_newest: bool) -> tuple[float, int]:
        """Figure and size of the window that ends at `at_us`, by the sketch."""
        since = (at_us - self.params.within) // self._grain_us
        bins = sketch.window(since) if is_newest else Bins(*sketch.between(since, at_us // self._grain_us))
        return (bins.ranked(self._rank(bins.count)), bins.count) if bins.count else (0.0, 0)

    def _rank(self, count: int) -> int:
        return max(1, -(-self._share.numerator * count // self._share.denominator))

    def _forget(self, before_us: int) -> None:
        if self._sketch is None:
            gone = bisect_left(self._times, before_us)
            del self._times[:gone], self._values[:gone]
            return
        self._sketch.forget(before_us // self._grain_us)
        if not len(self._sketch):
            self._sketch = None

    def dump(self) -> bytes:
        slices = None if self._sketch is None else self._sketch.parts()
        return msgspec.msgpack.encode(_State(self._newest_us, self._times, self._values, slices))

    def load(self, blob: bytes) -> None:
        state = msgspec.msgpack.decode(blob, type=_State)
        if len(state.times) != len(state.values):
            raise msgspec.ValidationError("state of quantile: lists of different lengths")
        try:
            sketch = None if state.slices is None else SlicedDDSketch(state.slices)
        except ValueError as error:
            raise msgspec.ValidationError(f"state of quantile: {error}") from error
        self._newest_us, self._times, self._values, self._sketch = state.newest_us, state.times, state.values, sketch

    def bytes_max(self) -> int:
        return 32 + max(18 * self.params.events_max, SLICES_MAX * (9 + SLICE_BYTES_MAX))

"""`seasonal`: a value to a finding, where it is odd for its hour of the day or week; found by name in `table.py`."""

import math
from typing import Annotated

from msgspec import Meta

from engine.clock import Duration, PositiveDuration
from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, State, ValueDetector
from engine.model import Finding

DAY = PositiveDuration(24 * 3_600 * 1_000_000)
FOLLOW_SIGMAS = 3.0
"""The profile follows a value by no more than this many deviations, so that one incident does not become its hour."""


class SeasonalParams(Params, frozen=True):
    """`above`, `below`: deviations (at least one); `period`: of the profile, `"1d"` or `"7d"`; `bins`: its parts.

    `offset`: where the period begins, after midnight UTC (of a Thursday, for a week); `weight`: of the newest value in
    its part, 0 to 1; `warmup`: values that a part needs before it answers; `floor`: the deviation counts as at least
    this share of what is expected; `floor_abs`: and as at least this, in the unit of the value.
    """

    above: Annotated[float, Meta(gt=0.0)] | None = 6.0
    below: Annotated[float, Meta(gt=0.0)] | None = 6.0
    period: PositiveDuration = DAY
    bins: Annotated[int, Meta(ge=2, le=2_016)] = 48
    offset: Duration = Duration(0)
    weight: Annotated[float, Meta(gt=0.0, le=0.5)] = 0.05
    warmup: Annotated[int, Meta(ge=2, le=10_000)] = 10
    floor: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.01
    floor_abs: Annotated[float, Meta(ge=0.0)] = 0.0

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise ValueError("`seasonal` needs `above` or `below` (deviations, e.g. `above = 6.0`)")


class _Bin(State, array_like=True):
    seen: int = 0
    mean: float = 0.0
    variance: float = 0.0


class _State(State):
    bins: list[_Bin] = []


class Seasonal(ValueDetector[SeasonalParams]):
    """A value that is odd for its time: z = (value - mean of its part of the period) / sd of that part.

    Mean and variance of each part are exponentially weighted and follow a value by at most 3 deviations; the deviation
    counts as at least half of the typical one of all parts, since a part alone has few values.

    Parameters: `above`, `below` (deviations, 6; one may be null), `period` (duration, 1d), `bins` (parts, 48),
    `offset` (duration after midnight UTC, 0), `weight` (of the newest value, 0.05), `warmup` (values per part, 10),
    `floor` (share of the expected, 0.01), `floor_abs` (unit of the value, 0).
    False alarms per 10,000 independent normal values about a daily curve, both sides, 48 parts: 5 at 4, 0.1 at
    5, none seen at 6 (of 86,400).
    Use `likelihood` or `robust-z` where the time of day does not matter: they learn in minutes, not in days.
    Source: the seasonal naive profile with Winters' (1960) exponential weights, Management Science 6(3).

    >>> from engine.detectors.contract import Observation
    >>> detector = Seasonal(SeasonalParams(bins=24, warmup=3))
    >>> hours = range(24 * 10)
    >>> load = [100 + 50 * (9 <= hour % 24 < 18) + hour % 3 for hour in hours]
    >>> load[24 * 9 + 3] = 150  # usual at noon, not at three in the night
    >>> seen = [Observation(hour * 3_600_000_000, f"h{hour}", "s", value) for hour, value in zip(hours, load)]
    >>> [finding.detail for finding in map(detector.update, seen) if finding]
    ['150 is 50 deviations above the 100 usual at this time']
    """

    method = "seasonal"
    params_type = SeasonalParams
    state_type = _State

    def restored(self) -> None:
        if not self.state.bins:
            self.state.bins = [_Bin() for _ in range(self.params.bins)]
        if len(self.state.bins) != self.params.bins:
            raise ValueError(f"{len(self.state.bins)} parts of a period that has {self.params.bins}")

    def see(self, value: float, observation: Observation) -> Finding | None:
        params = self.params
        phase_us = (observation.at_us - params.offset) % params.period
        part = self.state.bins[phase_us * params.bins // params.period]
        finding = None
        if part.seen >= params.warmup:
            scale = max(self._scale(part), params.floor * abs(part.mean), params.floor_abs, 1e-300)
            z = (value - part.mean) / scale
            finding = self._judge(value, part.mean, z, observation.event_id)
            value = part.mean + min(max(z, -FOLLOW_SIGMAS), FOLLOW_SIGMAS) * scale
        part.seen += 1
        weight, away = max(1.0 / part.seen, params.weight), value - part.mean
        part.mean += weight * away
        part.variance = (1.0 - weight) * (part.variance + weight * away * away)
        return finding

    def _scale(self, part: _Bin) -> float:
        """The deviation of a part, at least half of the median one of the parts that have learnt."""
        others = sorted(each.variance for each in self.state.bins if each.seen >= self.params.warmup)
        return math.sqrt(max(part.variance, others[len(others) // 2] / 4.0))

    def _judge(self, value: float, mean: float, z: float, event_id: str) -> Finding | None:
        for side, bound in (("above", self.params.above), ("below", self.params.below)):
            if bound is not None and (z if side == "above" else -z) > bound:
                detail = f"{value:.4g} is {abs(z):.3g} deviations {side} the {mean:.4g} usual at this time"
                return Finding(detail=detail, value=value, threshold=bound, event_ids=(event_id,))
        return None

    def bytes_max(self) -> int:
        return 32 + self.params.bins * (1 + 3 * FLOAT_BYTES)

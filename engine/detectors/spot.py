"""`spot`: a value to a finding, where it lies beyond a quantile that was never seen; found by name in `table.py`."""

import math
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, State, ValueDetector
from engine.model import Finding

SHAPE_MAX = 0.5
"""Heavier tails than this have no variance and can't be told from a few wild values by so few peaks."""
REFIT_EVERY = 10
"""New peaks between two fits."""


class SpotParams(Params, frozen=True):
    """`risk`: wanted share of values beyond the limit; `level`: quantile above which a value is a peak.

    `reference`: observations before the first answer; `peaks`: how many are kept; `side`: which tail is watched.
    """

    risk: Annotated[float, Meta(gt=0.0, lt=0.1)] = 1e-4
    level: Annotated[float, Meta(ge=0.5, lt=1.0)] = 0.95
    reference: Annotated[int, Meta(ge=50, le=10_000)] = 500
    peaks: Annotated[int, Meta(ge=20, le=5_000)] = 200
    side: Literal["above", "below"] = "above"

    def __post_init__(self) -> None:
        if self.reference * (1.0 - self.level) < 10:
            raise ValueError("`reference` times 1 - `level` must leave ten peaks to begin with")


class _State(State):
    learning: list[float] = []
    start: float | None = None
    excesses: list[float] = []
    seen: int = 0
    passed: int = 0
    fresh: int = 0
    limit: float = 0.0


class Spot(ValueDetector[SpotParams]):
    """Beyond an extreme quantile: peaks over a threshold t follow a generalised Pareto distribution (shape k, scale s),

    so the value that a share `risk` of all passes is t + s/k ((risk n / n_t)^-k - 1), with n values and n_t peaks yet.
    t is the `level` quantile of the first `reference` values; k and s are fitted to the last `peaks` excesses by
    probability-weighted moments. Values beyond the limit are found and not learnt from.

    Parameters: `risk` (share, 0.0001), `level` (quantile, 0.95), `reference` (observations, 500), `peaks` (200), `side`
    (`above` or `below`).
    False alarms: `risk` is what is aimed at; so far out it is known only roughly. At 0.0001, per 10,000 values of
    normal, exponential, log-normal and Student (3) streams: 3 to 6 on average with a reference of 500, 2 to 4 with
    2,000.
    It asks for no shape of the bulk, only of the tail, and for a stream that stays as it is: use `robust-z` where the
    level wanders, `seasonal` where it has a daily course.
    Source: Siffer et al. (2017), Anomaly Detection in Streams with Extreme Value Theory, KDD; Hosking and Wallis
    (1987), Parameter and Quantile Estimation for the Generalized Pareto Distribution, Technometrics 29(3).

    >>> from engine.detectors.contract import Observation
    >>> detector = Spot(SpotParams())
    >>> from statistics import NormalDist
    >>> values = [NormalDist().inv_cdf((i * 0.618034) % 0.998 + 0.001) for i in range(800)] + [6.0]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", value)) for i, value in enumerate(values)]
    >>> [finding.event_ids[0] for finding in found if finding]
    ['e800']
    """

    method = "spot"
    params_type = SpotParams
    state_type = _State

    def restored(self) -> None:
        if len(self.state.excesses) > self.params.peaks or len(self.state.learning) > self.params.reference:
            raise ValueError("more values than these parameters keep")

    def see(self, value: float, observation: Observation) -> Finding | None:
        state, turned = self.state, value if self.params.side == "above" else -value
        if state.start is None:
            self._learn(turned)
            return None
        if turned > state.limit:
            bound = state.limit if self.params.side == "above" else -state.limit
            detail = (
                f"{value:.4g} is {self.params.side} {bound:.4g}, which {self.params.risk:g} of the values should pass"
            )
            return Finding(detail=detail, value=value, threshold=bound, event_ids=(observation.event_id,))
        state.seen += 1
        if turned > state.start:
            state.passed += 1
            state.excesses = [*state.excesses[1 - self.params.peaks :], turned - state.start]
            state.fresh += 1
            if state.fresh >= REFIT_EVERY:
                self._fit()
        return None

    def _learn(self, value: float) -> None:
        state = self.state
        state.learning.append(value)
        if len(state.learning) < self.params.reference:
            return
        values = np.array(state.learning)
        start = float(np.quantile(values, self.params.level))
        excesses = (values[values > start] - start).tolist()
        state.start, state.excesses = start, excesses[-self.params.peaks :]
        state.seen, state.passed, state.learning = len(values), len(excesses), []
        self._fit()

    def _fit(self) -> None:
        state = self.state
        state.fresh = 0
        shape, scale = _pareto(np.sort(np.array(state.excesses)))
        share = self.params.risk * state.seen / max(state.passed, 1)
        if share >= 1.0:
            state.limit = state.start
        elif abs(shape) < 1e-6:
            state.limit = state.start - scale * math.log(share)
        else:
            state.limit = state.start + scale / shape * (share**-shape - 1.0)

    def bytes_max(self) -> int:
        return 128 + FLOAT_BYTES * max(self.params.reference, self.params.peaks)


def _pareto(excesses: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution by probability-weighted moments; (0, 0) for nothing."""
    count = len(excesses)
    if count == 0 or excesses[-1] <= 0.0:
        return 0.0, 0.0
    first = float(excesses.mean())
    weights = (np.arange(count, 0, -1) - 0.65) / count  # 1 - p of each order statistic, p = (i - 0.35) / n
    second = float((weights * excesses).mean())
    if first <= 2.0 * second:
        return 0.0, first
    shape = 2.0 - first / (first - 2.0 * second)
    if shape > SHAPE_MAX:
        return SHAPE_MAX, first * (1.0 - SHAPE_MAX)
    return shape, 2.0 * first * second / (first - 2.0 * second)

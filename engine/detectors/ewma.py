"""`ewma`: a value to a finding, where its smoothed course leaves the limits; found by name in `table.py`."""

import math
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation
from engine.detectors.reference import ReferenceParams, ReferenceState, standardise
from engine.detectors.values import FLOAT_BYTES, ValueDetector
from engine.model import Finding

CLIP_SIGMAS = 10.0
"""A single value counts as no further away than this, so that one wild value does not hold the chart up for long."""


class EwmaParams(ReferenceParams, frozen=True):
    """`weight` of the newest value, 0 to 1; `above`, `below`: limits in standard deviations of the smoothed value."""

    weight: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.1
    above: Annotated[float, Meta(gt=0.0)] | None = None
    below: Annotated[float, Meta(gt=0.0)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.above is None and self.below is None:
            raise ValueError("`ewma` needs `above` or `below` (standard deviations, e.g. `above = 4.5`)")


class _State(ReferenceState):
    smoothed: float = 0.0
    decay: float = 1.0


class Ewma(ValueDetector[EwmaParams]):
    """An EWMA control chart: s_t = (1 - w) s_(t-1) + w z_t, found where s_t > above * sigma_t, or < -below * sigma_t.

    z = (value - centre) / scale against the learnt reference, clipped at 10;
    sigma_t = sqrt(w / (2 - w) * (1 - (1 - w)^(2t))) is the deviation of s for independent values.

    Parameters: `weight` (w, 0.1), `above`, `below` (standard deviations of s; at least one), `reference` (observations
    to learn from, 100) or `centre` and `scale`, `floor` (share of the centre, 0.01), `floor_abs`.
    False alarms per 10,000 independent normal values, both sides: 46 at 3, 4 at 4, 1.4 at 4.5, 0.5 at 5 with a
    reference of 100 values; 16, 0.8, 0.3, 0.2 with 500, and the same with a centre and scale that are known.
    The condition lasts as long as the chart is out. Use `cusum` where the size of the shift is known, `robust-z` for
    single outliers or a baseline that wanders, `threshold` where the bound is known.
    Source: Roberts (1959), Technometrics 1(3); Lucas and Saccucci (1990), Technometrics 32(1).

    >>> from engine.detectors.contract import Observation
    >>> detector = Ewma(EwmaParams(above=4.5, reference=50))
    >>> values = [10 + i % 5 for i in range(60)] + [14.5] * 20
    >>> found = [detector.update(Observation(i, f"e{i}", "s", value)) for i, value in enumerate(values)]
    >>> next(finding.event_ids for finding in found if finding)
    ('e68',)
    """

    method = "ewma"
    params_type = EwmaParams
    state_type = _State

    def see(self, value: float, observation: Observation) -> Finding | None:
        state, params = self.state, self.params
        z = standardise(value, state, params)
        if z is None:
            return None
        if not -CLIP_SIGMAS <= z <= CLIP_SIGMAS:
            z = math.copysign(CLIP_SIGMAS, z)
        weight = params.weight
        keep = 1.0 - weight
        state.smoothed = keep * state.smoothed + weight * z
        state.decay *= keep * keep
        score = state.smoothed / math.sqrt(weight / (2.0 - weight) * (1.0 - state.decay))
        above, below = params.above, params.below
        if above is not None and score > above:
            return self._finding("above", above, score, value, observation.event_id)
        if below is not None and -score > below:
            return self._finding("below", below, -score, value, observation.event_id)
        return None

    def _finding(self, side: str, bound: float, beyond: float, value: float, event_id: str) -> Finding:
        state = self.state
        course = state.centre + state.smoothed * state.scale
        detail = f"smoothed {course:.4g} is {beyond:.3g} deviations {side} its reference {state.centre:.4g}"
        return Finding(detail=detail, value=value, threshold=bound, event_ids=(event_id,))

    def bytes_max(self) -> int:
        return 128 + FLOAT_BYTES * self.params.reference

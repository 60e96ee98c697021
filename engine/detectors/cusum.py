"""`cusum`: a value to a finding, where small departures in one direction add up; found by name in `table.py`."""

import math
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation
from engine.detectors.reference import ReferenceParams, ReferenceState, standardise
from engine.detectors.values import FLOAT_BYTES, ValueDetector
from engine.model import Finding


class CusumParams(ReferenceParams, frozen=True):
    """`above`, `below`: limits of the sums; `slack`: what each value is allowed; `clip`: the most one value counts.

    All in standard deviations.
    """

    above: Annotated[float, Meta(gt=0.0)] | None = None
    below: Annotated[float, Meta(gt=0.0)] | None = None
    slack: Annotated[float, Meta(ge=0.0)] = 0.5
    clip: Annotated[float, Meta(gt=0.0)] = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.above is None and self.below is None:
            raise ValueError("`cusum` needs `above` or `below` (standard deviations, e.g. `above = 10.0`)")


class _State(ReferenceState):
    high: float = 0.0
    low: float = 0.0


class Cusum(ValueDetector[CusumParams]):
    """A two-sided cumulative sum: high = max(0, high + z - slack) > above, low = max(0, low - z - slack) > below.

    z = (value - centre) / scale against the learnt reference, clipped at `clip`, so that no single value can alarm by
    itself. A shift of d deviations is found after about above / (d - slack) values; `slack` is best at half the
    smallest shift that matters. After a finding that sum starts again from zero.

    Parameters: `above`, `below` (standard deviations; at least one), `slack` (0.5), `clip` (4), `reference`
    (observations to learn from, 100) or `centre` and `scale`, `floor` (share of the centre, 0.01), `floor_abs`.
    False alarms per 10,000 independent normal values, both sides, slack 0.5: 47 at 5, 7 at 8, 2 at 10, 0.2 at 15 with
    a reference of 100 values; 23, 2, 0.4, 0 with 500, and the same with a centre and scale that are known.
    Use `ewma` for the same with a limit that lasts while the shift does, `page-hinkley` without a reference phase,
    `robust-z` for single outliers.
    Source: Page (1954), Biometrika 41; Hawkins and Olwell (1998), Cumulative Sum Charts and Charting for Quality
    Improvement.

    >>> from engine.detectors.contract import Observation
    >>> detector = Cusum(CusumParams(above=8.0, reference=50))
    >>> values = [10 + i % 5 for i in range(60)] + [14.0] * 20
    >>> found = [detector.update(Observation(i, f"e{i}", "s", value)) for i, value in enumerate(values)]
    >>> next(finding.event_ids for finding in found if finding)
    ('e68',)
    """

    method = "cusum"
    params_type = CusumParams
    state_type = _State
    restarts = True

    def see(self, value: float, observation: Observation) -> Finding | None:
        state, params = self.state, self.params
        z = standardise(value, state, params)
        if z is None:
            return None
        clip, slack, above, below = params.clip, params.slack, params.above, params.below
        if not -clip <= z <= clip:
            z = math.copysign(clip, z)
        high = low = 0.0
        if above is not None and (high := state.high + z - slack) < 0.0:
            high = 0.0
        if below is not None and (low := state.low - z - slack) < 0.0:
            low = 0.0
        state.high, state.low = high, low
        if above is not None and high > above:
            state.high = 0.0
            return self._finding("above", above, value, observation.event_id)
        if below is not None and low > below:
            state.low = 0.0
            return self._finding("below", below, value, observation.event_id)
        return None

    def _finding(self, side: str, bound: float, value: float, event_id: str) -> Finding:
        detail = f"values up to {value:.4g} add up to more than {bound:g} deviations {side} {self.state.centre:.4g}"
        return Finding(detail=detail, value=value, threshold=bound, event_ids=(event_id,))

    def bytes_max(self) -> int:
        return 128 + FLOAT_BYTES * self.params.reference

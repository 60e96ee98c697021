"""`bernoulli-cusum`: yes-or-no outcomes to a finding, where their rate rose; found by name in `table.py`."""

import math
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, State, StateDetector
from engine.model import Finding

RATE_MIN, RATE_MAX = 1e-6, 0.999
"""Rates beyond count as these: the likelihood ratio needs a number."""
LEARN_BELOW = 1e-3
"""While the statistic is below this share of the limit, nothing is brewing and outcomes go into the usual rate."""
FORGET_AFTER = 50_000
"""Outcomes that the usual rate remembers; older ones fade."""
RELEARN = 200
"""Outcomes between two looks at the usual rate."""


class BernoulliCusumParams(Params, frozen=True):
    """`times`: multiples of the usual rate to look for; `run`: outcomes without a rise per false alarm, about.

    `rate`: the usual rate, 0 to 1, if known; else it is learnt, from `reference` outcomes before the first answer and
    on after them; `margin`: standard errors by which a learnt rate is taken higher, for what is not known of it yet.
    """

    times: Annotated[tuple[Annotated[float, Meta(gt=1.0, le=1_000.0)], ...], Meta(min_length=1, max_length=8)] = (
        2.0,
        2.2,
        2.5,
        6.0,
    )
    run: Annotated[float, Meta(ge=100.0, le=1e12)] = 70_000.0
    rate: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    reference: Annotated[int, Meta(ge=20, le=1_000_000)] = 2_000
    margin: Annotated[float, Meta(ge=0.0, le=10.0)] = 1.5


class _State(State):
    seen: float = 0.0
    hits: float = 0.0
    pending: int = 0
    pending_hits: int = 0
    ratios: list[float] = []
    until: int = 0
    usual: float | None = None


class BernoulliCusum(StateDetector[BernoulliCusumParams]):
    """A rate that rose: the mean of r = (1 + r) * likelihood ratio of p1 against p0, over several p1, > `run`, with

    ratio p1 / p0 for a yes and (1 - p1) / (1 - p0) for a no, p0 the usual rate, p1 = times * p0 (at most halfway to 1).
    Summing over all possible starts of the rise (Shiryaev and Roberts) finds it soonest on average when it comes after
    a long time without one, a little sooner than Page's maximum over the starts; several multiples find small and large
    rises alike. With a known rate, false alarms are at least `run` outcomes apart on average. After a finding it begins
    anew. The usual rate goes on being learnt while nothing is brewing.

    Parameters: `times` (multiples of the usual rate, 2, 2.2, 2.5, 6), `run` (outcomes, 70,000), `rate` (share, 0 to 1)
    or `reference` (outcomes to learn it from, 2,000) and `margin` (standard errors, 1.5).
    False alarms per 20,000 outcomes at rates of 1, 2 and 5 %: 0.10, 0.07, 0.10 with a learnt rate, 0.20, 0.19, 0.23
    with a known one. Steps from 2 to 5, 5 to 10 and 1 to 20 % are found after 436, 363 and 31 outcomes on average,
    where ADWIN takes 887, 624 and 72, and the best there can be, for one who knows both rates, 394, 321 and 22
    (400 streams; benchmarks/detectors/error_rate.py).
    Use `ratio` or `wilson` where a fixed rate must not be passed, `surge` for counts of events rather than shares.
    Source: Roberts (1966), Technometrics 8(3); Pollak and Tartakovsky (2009), Optimality Properties of the
    Shiryaev-Roberts Procedure, Statistica Sinica 19; Reynolds and Stoumbos (1999), J. of Quality Technology 31(1).

    >>> from engine.detectors.contract import Observation
    >>> detector = BernoulliCusum(BernoulliCusumParams(rate=0.02))
    >>> outcomes = [i % 50 == 0 for i in range(2_000)] + [i % 10 == 0 for i in range(300)]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=of)) for i, of in enumerate(outcomes)]
    >>> next(finding.detail for finding in found if finding)
    '10.89% of the last 101 against at most 2.00% as usual'
    """

    method = "bernoulli-cusum"
    params_type = BernoulliCusumParams
    state_type = _State
    needs_of = True
    of_is_bool = True
    restarts = True
    version = 2

    def restored(self) -> None:
        state, params = self.state, self.params
        if not state.ratios:
            state.ratios = [0.0] * len(params.times)
        if state.usual is None:
            state.usual = params.rate
        if len(state.ratios) != len(params.times) or not 0.0 <= state.hits <= state.seen:
            raise ValueError("not the ratios or counts of these parameters")
        if state.usual is not None and not 0.0 < state.usual < 1.0:
            raise ValueError("a rate outside of 0 to 1")
        self._set(state.usual)

    def update(self, observation: Observation) -> Finding | None:
        hit = observation.of
        if not isinstance(hit, bool):
            return None
        state, params = self.state, self.params
        if state.usual is None:
            state.seen, state.hits = state.seen + 1, state.hits + hit
            if state.seen >= params.reference:
                self._look()
            return None
        factors = self._yes if hit else self._no
        ratios = [(1.0 + ratio) * factor for ratio, factor in zip(state.ratios, factors, strict=True)]
        mean = sum(ratios) / len(factors)
        state.pending, state.pending_hits = state.pending + 1, state.pending_hits + hit
        if mean > params.run:
            return self._found(mean, observation.event_id)
        state.ratios = ratios
        if mean < LEARN_BELOW * params.run:
            self._learn()
        return None

    def _learn(self) -> None:
        """What was pending is usual after all."""
        state = self.state
        state.seen, state.hits = state.seen + state.pending, state.hits + state.pending_hits
        state.until -= state.pending
        state.pending = state.pending_hits = 0
        if state.until <= 0 and self.params.rate is None:
            self._look()

    def _look(self) -> None:
        """Take the usual rate from what was learnt: the upper end of its Wilson interval at `margin`."""
        state, z = self.state, self.params.margin
        if state.seen > FORGET_AFTER:
            state.hits *= FORGET_AFTER / state.seen
            state.seen = float(FORGET_AFTER)
        spread = z * math.sqrt(state.hits * (1.0 - state.hits / state.seen) + z * z / 4.0)
        upper = (state.hits + z * z / 2.0 + spread) / (state.seen + z * z)
        state.usual, state.until = min(max(upper, RATE_MIN), RATE_MAX), RELEARN
        self._set(state.usual)

    def _set(self, usual: float | None) -> None:
        """The factors of a yes and of a no for each multiple."""
        raised = [] if usual is None else [min(each * usual, (1.0 + usual) / 2.0) for each in self.params.times]
        self._yes = [each / usual for each in raised if usual]
        self._no = [(1.0 - each) / (1.0 - usual) for each in raised if usual]

    def _found(self, mean: float, event_id: str) -> Finding:
        state = self.state
        share = state.pending_hits / state.pending
        detail = f"{share:.2%} of the last {state.pending} against at most {state.usual:.2%} as usual"
        state.ratios, state.pending, state.pending_hits = [0.0] * len(self.params.times), 0, 0
        return Finding(detail=detail, value=mean, threshold=self.params.run, event_ids=(event_id,))

    def bytes_max(self) -> int:
        return 128 + FLOAT_BYTES * len(self.params.times)

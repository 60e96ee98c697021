"""`bernoulli-cusum`: yes-or-no outcomes to a finding, where their rate rose; found by name in `table.py`."""

import math
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.detectors.contract import Detector, Observation, Params
from engine.detectors.values import State
from engine.model import Finding

RATE_MIN = 1e-6
"""A rate of nothing at all counts as this: the likelihood ratio needs a number."""


class BernoulliCusumParams(Params, frozen=True):
    """`times`: the multiple of the usual rate that must be found; `limit`: of the sum of log-likelihood ratios (nats).

    `rate`: the usual rate, 0 to 1, if known; else it is learnt from the first `reference` observations.
    """

    times: Annotated[float, Meta(gt=1.0, le=1_000.0)] = 2.0
    limit: Annotated[float, Meta(gt=0.0)] = 10.0
    rate: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    reference: Annotated[int, Meta(ge=20, le=1_000_000)] = 1_000


class _State(State):
    seen: int = 0
    hits: int = 0
    rate: float | None = None
    total: float = 0.0
    since: int = 0
    since_hits: int = 0


class BernoulliCusum(Detector[BernoulliCusumParams]):
    """A rate that rose: s = max(0, s + log-likelihood ratio of p1 against p0) > limit, per outcome of `of` (a bool):

    ln(p1 / p0) for a yes, ln((1 - p1) / (1 - p0)) for a no, with p0 the usual rate and p1 = times * p0 (halfway to 1
    where that would be more). Of all tests with as few false alarms, this one finds a step from p0 to p1 soonest. After
    a finding the sum starts again.

    Parameters: `times` (multiple of the usual rate, 2), `limit` (nats, 10), `rate` (share, 0 to 1) or `reference`
    (observations to learn it from, 1,000).
    False alarms per 20,000 outcomes at rates of 1 to 5 %, limit 10: none seen with a known rate (of 1.2 million), up to
    0.1 with one learnt from 10,000 outcomes, 0.25 to 0.45 with 1,000, which leaves the rate itself in doubt.
    Use `ratio` or `wilson` where a fixed rate must not be passed, `surge` for counts of events rather than shares.
    Source: Reynolds and Stoumbos (1999), A CUSUM Chart for Monitoring a Proportion, J. of Quality Technology 31(1);
    optimality: Moustakides (1986), Annals of Statistics 14(4).

    >>> from engine.detectors.contract import Observation
    >>> detector = BernoulliCusum(BernoulliCusumParams(rate=0.02))
    >>> outcomes = [i % 50 == 0 for i in range(2_000)] + [i % 10 == 0 for i in range(300)]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=of)) for i, of in enumerate(outcomes)]
    >>> next(finding.detail for finding in found if finding)
    '10.47% of the last 191 against 2.00% as usual'
    """

    method = "bernoulli-cusum"
    params_type = BernoulliCusumParams
    needs_of = True
    of_is_bool = True
    restarts = True

    def __init__(self, params: BernoulliCusumParams) -> None:
        super().__init__(params)
        self._state = _State(rate=params.rate)

    def update(self, observation: Observation) -> Finding | None:
        if not isinstance(observation.of, bool):
            return None
        state, hit = self._state, observation.of
        if state.rate is None:
            self._learn(hit)
            return None
        usual = state.rate
        raised = min(self.params.times * usual, (1.0 + usual) / 2.0)
        state.total += math.log(raised / usual) if hit else math.log((1.0 - raised) / (1.0 - usual))
        if state.total <= 0.0:
            state.total, state.since, state.since_hits = 0.0, 0, 0
            return None
        state.since, state.since_hits = state.since + 1, state.since_hits + hit
        if state.total <= self.params.limit:
            return None
        share = state.since_hits / state.since
        detail = f"{share:.2%} of the last {state.since} against {usual:.2%} as usual"
        state.total, state.since, state.since_hits = 0.0, 0, 0
        return Finding(detail=detail, value=share, threshold=raised, event_ids=(observation.event_id,))

    def _learn(self, hit: bool) -> None:  # noqa: FBT001  # the outcome itself
        state = self._state
        state.seen, state.hits = state.seen + 1, state.hits + hit
        if state.seen >= self.params.reference:
            # Half an outcome of each kind is added (Jeffreys), so that no rate is exactly 0 or 1.
            state.rate = max((state.hits + 0.5) / (state.seen + 1.0), RATE_MIN)

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(self._state)

    def load(self, blob: bytes) -> None:
        state = msgspec.msgpack.decode(blob, type=_State)
        if state.rate is not None and not 0.0 < state.rate < 1.0:
            raise msgspec.ValidationError("state of bernoulli-cusum: a rate outside of 0 to 1")
        self._state = state

    def bytes_max(self) -> int:
        return 96

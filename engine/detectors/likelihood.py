"""`likelihood`: a value to a finding, where an aspect of it is rare beside its past; found by name in `table.py`."""

import math
from bisect import insort
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, State, ValueDetector
from engine.model import Finding

ASPECTS = ("level", "step", "noise", "trend")
NEAR = 24
"""Values whose spread is the noise, and over which the mean that is the trend is taken."""
BLOCK = 100
"""Values of which only the `TOPS` rarest are remembered."""
TOPS = 8
"""What one block may weigh in the yardstick; also keeps one long incident from becoming normal."""
BLOCKS_MAX = 60
RARE = 0.005
"""Share of the remembered past that was as far out as the yardstick."""
RATIO_MAX = 50.0
"""A larger ratio says nothing more; it also stands for a first move after a constant."""
FAR_MIN = 1e-9
"""A yardstick smaller than this, in deviations, is none: the value was constant."""


class LikelihoodParams(Params, frozen=True):
    """`above`: how many times further out than the rarest 0.5 % of the past; `refractory`: observations.

    `memory`: observations over which mean and deviation are taken; `warmup`: before the first answer. `rise`: share by
    which a finding raises the bound for those after it; `fade`: observations over which that fades to a third.
    """

    above: Annotated[float, Meta(ge=1.0, le=RATIO_MAX)] = 1.3
    refractory: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    memory: Annotated[int, Meta(ge=50, le=1_000_000)] = 3_000
    warmup: Annotated[int, Meta(ge=30, le=10_000)] = 130
    rise: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.05
    fade: Annotated[int, Meta(ge=1, le=1_000_000)] = 5_000


class _Aspect(State, array_like=True):
    """One aspect: its running mean and variance, and the rarest distances of each block of the past, smallest first."""

    mean: float = 0.0
    variance: float = 0.0
    blocks: list[list[float]] = []
    yardstick: float = 0.0


class _State(State):
    seen: int = 0
    quiet: int = 0
    recent: list[float] = []
    size: float = 0.0
    trend: float = 0.0
    risen: float = 0.0
    aspects: list[_Aspect] = []


class Likelihood(ValueDetector[LikelihoodParams]):
    """How unlikely a value is beside its own past, whatever its distribution: the one to begin with.

    Four aspects are followed: the value, its difference to the one before, the logarithm of the standard deviation of
    the last 24 values, and their fading mean. Each is put in deviations from its running mean, d = |x - mean| / sd, and
    d is compared to the d that 0.5 % of the last 6,000 observations reached: ratio = d / d(0.5 %) > `above`. So a spiky
    value sets a wide bound for itself and a calm one a narrow bound, and no tail is assumed to be normal. After a
    finding the detector is silent for `refractory` observations, and its bound is `above` * (1 + `rise` * findings),
    each of which fades as exp(-observations / `fade`): a key that alarms often has to be odder for the next alarm.

    Parameters: `above` (ratio, 1.3), `refractory` (observations, 100), `memory` (observations, 3,000), `warmup`
    (observations, 130), `rise` (share, 0.05), `fade` (observations, 5,000).
    False alarms per 10,000 independent values (100,000 seen): 5 on normal, 13 on log-normal of deviation 1, at 1.3; 1
    and 10 at 1.5; none and 5 at 2.
    Use `seasonal` where a value is odd only for its hour of day, `cusum` for small lasting shifts, `robust-z` where a
    bound in deviations is wanted, `threshold` where a limit is known.
    Source: after Ahmad, Lavin, Purdy and Agha (2017), Unsupervised real-time anomaly detection for streaming data,
    Neurocomputing 262, with an empirical tail in place of the normal one. On Numenta's benchmark: 63.5, and
    56.9 with every setting chosen on the other categories than the one scored (benchmarks/detectors/nab.py).

    >>> from engine.detectors.contract import Observation
    >>> detector = Likelihood(LikelihoodParams())
    >>> values = [20 + (7 * i) % 11 for i in range(400)] + [60.0] * 20
    >>> found = [detector.update(Observation(i, f"e{i}", "s", value)) for i, value in enumerate(values)]
    >>> [(finding.event_ids, finding.detail) for finding in found if finding]
    [(('e400',), 'the noise of 60 is 21.5 times as far out as the rarest 0.5% of the past')]
    """

    method = "likelihood"
    params_type = LikelihoodParams
    state_type = _State
    restarts = True
    version = 2

    def restored(self) -> None:
        state = self.state
        self._fading = math.exp(-1.0 / self.params.fade)
        if not state.aspects:
            state.aspects = [_Aspect() for _ in ASPECTS]
        if len(state.aspects) != len(ASPECTS) or len(state.recent) > NEAR:
            raise ValueError("not the aspects or recent values of one key")
        for each in state.aspects:
            if len(each.blocks) > BLOCKS_MAX or any(len(block) > TOPS for block in each.blocks):
                raise ValueError("more remembered than there can be")

    def see(self, value: float, observation: Observation) -> Finding | None:
        state, params = self.state, self.params
        before = state.recent[-1] if state.recent else value
        state.trend += (value - state.trend) / min(state.seen + 1, NEAR)
        if len(state.recent) == NEAR:
            del state.recent[0]
        state.recent.append(value)
        state.seen += 1
        state.size += (abs(value) - state.size) / min(state.seen, params.memory)
        noise = math.log(_deviation(state.recent) + 1e-3 * state.size + 1e-12)
        weight = max(1.0 / state.seen, 1.0 / params.memory)
        best, place = 0.0, 0
        for each, (aspect, x) in enumerate(
            zip(state.aspects, (value, value - before, noise, state.trend), strict=True)
        ):
            ratio = self._ratio(aspect, x, weight)
            if ratio > best:
                best, place = ratio, each
        state.risen *= self._fading
        if state.quiet > 0:
            state.quiet -= 1
            return None
        bound = params.above * (1.0 + params.rise * state.risen)
        if state.seen <= params.warmup or best <= bound:
            return None
        state.quiet, state.risen = params.refractory, state.risen + 1.0
        detail = f"the {ASPECTS[place]} of {value:.4g} is {best:.3g} times as far out as the rarest 0.5% of the past"
        return Finding(detail=detail, value=best, threshold=bound, event_ids=(observation.event_id,))

    def _ratio(self, aspect: _Aspect, x: float, weight: float) -> float:
        """How far out `x` is beside the yardstick before it; then both learn it."""
        mean, variance = aspect.mean, aspect.variance
        away = x - mean
        aspect.mean = mean + weight * away
        aspect.variance = (1.0 - weight) * (variance + weight * away * away)
        count = self.state.seen - 31
        if count < 0:  # a deviation of fewer is none
            return 0.0
        deviation, still = math.sqrt(variance), 1e-12 * max(1.0, abs(mean))
        far = abs(away) / deviation if deviation > still else 20.0 * (abs(away) > still)
        yardstick = aspect.yardstick
        if count < BLOCK or count % BLOCK == 0 or far > aspect.blocks[-1][0] or len(aspect.blocks[-1]) < TOPS:
            self._remember(aspect, far, count)
        if yardstick <= FAR_MIN:
            return 0.0 if far <= FAR_MIN else RATIO_MAX
        return min(far / yardstick, RATIO_MAX)

    def _remember(self, aspect: _Aspect, far: float, count: int) -> None:
        if count % BLOCK == 0:
            aspect.blocks.append([])
            del aspect.blocks[:-BLOCKS_MAX]
        block, changed = aspect.blocks[-1], count % BLOCK == 0
        if len(block) < TOPS or far > block[0]:
            insort(block, far)
            del block[:-TOPS]
            changed = changed or far > aspect.yardstick
        if changed or count < BLOCK:
            kept = min(count + 1, (len(aspect.blocks) - 1) * BLOCK + count % BLOCK + 1)
            rarest = sorted((each for block in aspect.blocks for each in block), reverse=True)
            aspect.yardstick = rarest[min(math.floor(RARE * kept), len(rarest) - 1)]

    def bytes_max(self) -> int:
        return 160 + FLOAT_BYTES * NEAR + len(ASPECTS) * (40 + BLOCKS_MAX * (3 + FLOAT_BYTES * TOPS))


def _deviation(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return math.dist(values, [mean] * len(values)) / math.sqrt(len(values))

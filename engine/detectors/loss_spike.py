"""`loss-spike`: a training loss to a finding, where it jumps for a few steps; found by name in `table.py`."""

from statistics import median
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, SortedWindow, State, ValueDetector
from engine.model import Finding

SMOOTH = 5
"""Values in the median that comes first: three of them must be high before it is."""
FOLLOW_SIGMAS = 3.0
"""The baseline follows a jump by no more than this many deviations per step, so that it does not adopt it at once."""


class LossSpikeParams(Params, frozen=True):
    """`above`: robust standard deviations; `weight`: of the newest value in the baseline, 0 to 1.

    `window`, `warmup`: observations; `floor`: the deviation counts as at least this share of the baseline;
    `floor_abs`: and as at least this, in the unit of the loss.
    """

    above: Annotated[float, Meta(gt=0.0)] = 8.0
    weight: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.05
    window: Annotated[int, Meta(ge=10, le=10_000)] = 200
    warmup: Annotated[int, Meta(ge=5, le=10_000)] = 50
    floor: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05
    floor_abs: Annotated[float, Meta(ge=0.0)] = 0.0

    def __post_init__(self) -> None:
        if self.warmup > self.window:
            raise ValueError(f"`warmup` ({self.warmup}) is longer than `window` ({self.window})")


class _State(State):
    recent: list[float] = []
    baseline: float | None = None
    residuals: list[float] = []


class LossSpike(ValueDetector[LossSpikeParams]):
    """A jump of a falling, noisy loss: z = (m - b) / s, with

    m the median of the last 5 losses, b an exponentially weighted mean of m (before this one), and
    s = max(1.4826 * MAD of the last `window` residuals m - b, floor * |b|, floor_abs).
    The median of 5 asks for three high losses in five, so that one hard batch is no spike; residuals let the loss fall.
    b moves by at most 3 s per step: a spike does not become the normal state before it is seen.

    Parameters: `above` (standard deviations, 8), `weight` (0.05), `window` (observations, 200), `warmup` (50), `floor`
    (share of the baseline, 0.05), `floor_abs` (unit of the loss, 0; set it where the loss comes near zero, whose
    relative noise is without bound).
    False alarms per 10,000 independent values at 8: none seen on normal ones (of 100,000), 0.4 on log-normal ones of
    deviation 0.5, 7 of deviation 1; one lasts a few steps, since medians of 5 overlap.
    Use `robust-z` to react at the first high value (and to single hard batches); `gradient-norm` for the same from the
    optimiser's side; `nan` for a loss that is no number.
    Source: spike rules of large training runs (Chowdhery et al. 2022, PaLM, section 5.1) with Tukey's running medians
    (1977, Exploratory Data Analysis).

    >>> from engine.detectors.contract import Observation
    >>> detector = LossSpike(LossSpikeParams())
    >>> falling = [2.3 / (1 + i / 40) + 0.01 * (i % 5) for i in range(150)]
    >>> losses = falling + [3.0, 0.5, 0.5, 0.5, 2.0, 2.1, 2.2]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", loss)) for i, loss in enumerate(losses)]
    >>> [finding.event_ids[-1] for finding in found if finding]
    ['e156']
    """

    method = "loss-spike"
    params_type = LossSpikeParams
    state_type = _State

    def restored(self) -> None:
        if len(self.state.recent) > SMOOTH:
            raise ValueError(f"{len(self.state.recent)} recent values")
        self._residuals = SortedWindow(self.params.window, self.state.residuals)

    def dump(self) -> bytes:
        self.state.residuals = self._residuals.values()
        return super().dump()

    def see(self, value: float, observation: Observation) -> Finding | None:
        state, params, residuals = self.state, self.params, self._residuals
        state.recent = [*state.recent[-(SMOOTH - 1) :], value]
        if len(state.recent) < SMOOTH:
            return None
        smooth = median(state.recent)
        if state.baseline is None:
            state.baseline = smooth
            return None
        residual, finding = smooth - state.baseline, None
        if len(residuals) >= params.warmup:
            spread = residuals.scale(residuals.median())
            scale = max(spread, params.floor * abs(state.baseline), params.floor_abs, 1e-300)
            if residual / scale > params.above:
                finding = self._finding(smooth, residual / scale, observation.event_id)
            residual = min(max(residual, -FOLLOW_SIGMAS * scale), FOLLOW_SIGMAS * scale)
        residuals.push(residual)
        state.baseline += params.weight * residual
        return finding

    def _finding(self, smooth: float, z: float, event_id: str) -> Finding:
        detail = (
            f"the median loss of the last {SMOOTH} steps, {smooth:.4g}, is {z:.3g} standard deviations above "
            f"its baseline {self.state.baseline:.4g}"
        )
        return Finding(detail=detail, value=smooth, threshold=self.params.above, event_ids=(event_id,))

    def bytes_max(self) -> int:
        return 64 + FLOAT_BYTES * (SMOOTH + 1 + self.params.window)

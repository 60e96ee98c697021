"""`gradient-norm`: the norm of a gradient to a finding, where it explodes or vanishes; found by name in `table.py`."""

import math
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, SortedWindow, State, ValueDetector
from engine.model import Finding

NORM_MIN = 1e-30
"""Smaller norms, zero too, count as this: the logarithm needs a number."""
LOG_SCALE_MIN = 0.05
"""The deviation of the logarithm counts as at least this: norms that differ by 5 % are alike."""


class GradientNormParams(Params, frozen=True):
    """`exploding`, `vanishing`: in robust standard deviations of the logarithm; `window`, `warmup`: observations.

    `consecutive`: norms in a row that must lie beyond.
    """

    exploding: Annotated[float, Meta(gt=0.0)] = 6.0
    vanishing: Annotated[float, Meta(gt=0.0)] | None = None
    window: Annotated[int, Meta(ge=10, le=10_000)] = 200
    warmup: Annotated[int, Meta(ge=5, le=10_000)] = 50
    consecutive: Annotated[int, Meta(ge=1, le=1_000)] = 1

    def __post_init__(self) -> None:
        if self.warmup > self.window:
            raise ValueError(f"`warmup` ({self.warmup}) is longer than `window` ({self.window})")


class _State(State):
    window: list[float] = []
    exploding: int = 0
    vanishing: int = 0


class GradientNorm(ValueDetector[GradientNormParams]):
    """Far from the recent norms on the logarithmic scale: z = (log x - median(log)) / max(1.4826 MAD(log), 0.05).

    Norms of gradients spread by factors, not by differences: on the logarithm their distribution is nearly symmetric,
    and "ten times" is the same step up and down, early and late in a run.

    Parameters: `exploding` (standard deviations of the logarithm, 6), `vanishing` (the same downwards; off), `window`
    (observations, 200), `warmup` (50), `consecutive` (1).
    False alarms: on log-normal norms 0.6 per 10,000 at 4, none seen at 6 (of 100,000); batches of few samples have
    heavier tails, where `consecutive = 3` helps.
    Use `loss-spike` for the loss itself, `nan` for norms that are no numbers any more (they pass by here).
    Source: gradient clipping and its reason, Pascanu, Mikolov, Bengio (2013), ICML; robust z as in `robust-z`.

    >>> from engine.detectors.contract import Observation
    >>> detector = GradientNorm(GradientNormParams())
    >>> norms = [1.0 + 0.1 * (i % 7) for i in range(80)] + [2.0, 40.0]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", norm)) for i, norm in enumerate(norms)]
    >>> [finding.event_ids[0] for finding in found if finding]
    ['e81']
    """

    method = "gradient-norm"
    params_type = GradientNormParams
    state_type = _State

    def restored(self) -> None:
        self._window = SortedWindow(self.params.window, self.state.window)

    def dump(self) -> bytes:
        self.state.window = self._window.values()
        return super().dump()

    def see(self, value: float, observation: Observation) -> Finding | None:
        window, state, params, finding = self._window, self.state, self.params, None
        logarithm = math.log(max(value, NORM_MIN))
        if len(window) >= params.warmup:
            median = window.median()
            z = (logarithm - median) / max(window.scale(median), LOG_SCALE_MIN)
            explodes = z > params.exploding
            vanishes = params.vanishing is not None and z < -params.vanishing
            state.exploding = min(state.exploding + 1, params.consecutive) if explodes else 0
            state.vanishing = min(state.vanishing + 1, params.consecutive) if vanishes else 0
            if max(state.exploding, state.vanishing) >= params.consecutive:
                way = "explodes" if explodes else "vanishes"
                detail = (
                    f"the gradient norm {value:.4g} {way}: {math.exp(median):.4g} is usual, {abs(z):.3g} deviations"
                )
                bound = params.exploding if explodes else params.vanishing
                finding = Finding(detail=detail, value=value, threshold=bound, event_ids=(observation.event_id,))
        window.push(logarithm)
        return finding

    def bytes_max(self) -> int:
        return 64 + FLOAT_BYTES * self.params.window

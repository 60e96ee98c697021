"""`threshold`: a value to a finding, where it lies beyond a fixed bound; found by name in `table.py`."""

from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import State, ValueDetector
from engine.model import Finding


class ThresholdParams(Params, frozen=True):
    """`above` and `below` in the unit of the value (at least one); `consecutive` values in a row must lie beyond."""

    above: float | None = None
    below: float | None = None
    consecutive: Annotated[int, Meta(ge=1, le=1_000_000)] = 1

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise ValueError("`threshold` needs `above` or `below`")


class _State(State):
    in_a_row: int = 0


class Threshold(ValueDetector[ThresholdParams]):
    """Beyond a fixed bound, `consecutive` times in a row: `value > above` or `value < below`.

    Parameters: `above`, `below` (unit of the value; at least one), `consecutive` (observations, 1).
    False alarms: those of the bound you choose; with independent values, p per value becomes about p**consecutive.
    Use it where a bound is known (an agreed latency, a disk that is full); where only "unlike before" is known, use
    `robust-z`; for a small lasting shift, `cusum`.
    Source: Shewhart (1931), Economic Control of Quality of Manufactured Product.

    >>> from engine.detectors.contract import Observation
    >>> detector = Threshold(ThresholdParams(above=0.9, consecutive=2))
    >>> values = [0.5, 0.95, 0.5, 0.95, 0.97]
    >>> [detector.update(Observation(i, f"e{i}", "s", value)) is not None for i, value in enumerate(values)]
    [False, False, False, False, True]
    """

    method = "threshold"
    params_type = ThresholdParams
    state_type = _State

    def see(self, value: float, observation: Observation) -> Finding | None:
        crossed = self._crossed(value)
        self.state.in_a_row = 0 if crossed is None else min(self.state.in_a_row + 1, self.params.consecutive)
        if crossed is None or self.state.in_a_row < self.params.consecutive:
            return None
        side, bound = crossed
        times = f" {self.params.consecutive} times in a row" if self.params.consecutive > 1 else ""
        detail = f"{value:g} is {side} {bound:g}{times}"
        return Finding(detail=detail, value=value, threshold=bound, event_ids=(observation.event_id,))

    def _crossed(self, value: float) -> tuple[str, float] | None:
        if self.params.above is not None and value > self.params.above:
            return "above", self.params.above
        if self.params.below is not None and value < self.params.below:
            return "below", self.params.below
        return None

    def bytes_max(self) -> int:
        return 32

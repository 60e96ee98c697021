"""`robust-z`: a value to a finding, where it lies far from the recent median; found by name in `table.py`."""

from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, SortedWindow, State, ValueDetector
from engine.model import Finding


class RobustZParams(Params, frozen=True):
    """`above`, `below`: in robust standard deviations (at least one); `window`, `warmup`: observations.

    `floor`: the deviation counts as at least this share of the median, so that a nearly constant value does not alarm
    on its last digit; `floor_abs`: the same in the unit of the value.
    """

    above: float | None = None
    below: float | None = None
    window: Annotated[int, Meta(ge=5, le=10_000)] = 200
    warmup: Annotated[int, Meta(ge=3, le=10_000)] = 30
    floor: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.01
    floor_abs: Annotated[float, Meta(ge=0.0)] = 0.0

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise ValueError("`robust-z` needs `above` or `below` (standard deviations, e.g. `above = 8.0`)")
        if self.warmup > self.window:
            raise ValueError(f"`warmup` ({self.warmup}) is longer than `window` ({self.window})")


class _State(State):
    window: list[float] = []


class RobustZ(ValueDetector[RobustZParams]):
    """Far from the recent median: z = (value - median) / scale over the last `window` values before this one.

    scale = max(1.4826 * MAD, floor * |median|, floor_abs), with the mean absolute deviation where the MAD is zero.
    Up to half of the window may be anomalous before the yardstick bends.

    Parameters: `above`, `below` (standard deviations; at least one), `window` (observations, 200), `warmup`
    (observations before the first answer, 30), `floor` (share of the median, 0.01), `floor_abs` (unit of the value, 0).
    False alarms per 10,000 independent normal values, both sides, window 200: 35 at 3, 1 at 4, none seen at 5 (of
    100,000). Heavy tails (latencies, batch losses) need 8 and more.
    Use `cusum` for a small lasting shift, `seasonal` where the time of day matters, `loss-spike` for a training loss.
    Source: Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers; Hampel (1974), JASA 69.

    >>> from engine.detectors.contract import Observation
    >>> detector = RobustZ(RobustZParams(above=8.0))
    >>> values = [0.5 + 0.01 * (i % 7) for i in range(100)] + [0.55, 0.9]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", value)) for i, value in enumerate(values)]
    >>> [(finding.event_ids, finding.detail) for finding in found if finding]
    [(('e101',), '0.9 is 12.5 standard deviations above the median 0.53 of the last 101')]
    """

    method = "robust-z"
    params_type = RobustZParams
    state_type = _State

    def restored(self) -> None:
        self._window = SortedWindow(self.params.window, self.state.window)

    def dump(self) -> bytes:
        self.state.window = self._window.values()
        return super().dump()

    def see(self, value: float, observation: Observation) -> Finding | None:
        window, params = self._window, self.params
        finding = None
        if len(window) >= params.warmup:
            median = window.median()
            scale = max(window.scale(median), params.floor * abs(median), params.floor_abs, 1e-300)
            finding = self._judge(value, median, (value - median) / scale, observation.event_id)
        window.push(value)
        return finding

    def _judge(self, value: float, median: float, z: float, event_id: str) -> Finding | None:
        for side, bound in (("above", self.params.above), ("below", self.params.below)):
            if bound is not None and (z > bound if side == "above" else z < -abs(bound)):
                far = f"{abs(z):.3g} standard deviations {side} the median {median:.4g} of the last {len(self._window)}"
                return Finding(detail=f"{value:.4g} is {far}", value=value, threshold=bound, event_ids=(event_id,))
        return None

    def bytes_max(self) -> int:
        return 32 + FLOAT_BYTES * self.params.window

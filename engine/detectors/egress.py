"""`egress`: bytes sent to a finding, where a principal takes out more than it ever did; found by name in `table.py`."""

import math
from typing import Annotated

from msgspec import Meta

from engine.clock import PositiveDuration, format_duration
from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, SortedWindow, State, ValueDetector
from engine.model import Finding

HOUR = PositiveDuration(3_600 * 1_000_000)


class EgressParams(Params, frozen=True):
    """`limit`, `slack`, `clip`: of the sum, in deviations of the logarithm; `every`: length of a bucket of time.

    `reference`: buckets with traffic to learn from; `floor`: the deviation counts as at least this, in nats (0.5: a
    factor of 1.65); `bytes_min`: a bucket with less is never part of a finding.
    """

    limit: Annotated[float, Meta(gt=0.0)] = 8.0
    slack: Annotated[float, Meta(ge=0.0)] = 1.0
    clip: Annotated[float, Meta(gt=0.0)] = 10.0
    every: PositiveDuration = HOUR
    reference: Annotated[int, Meta(ge=10, le=1_000)] = 48
    floor: Annotated[float, Meta(gt=0.0, le=10.0)] = 0.5
    bytes_min: Annotated[float, Meta(ge=0.0)] = 1e6


class _State(State):
    bucket: int | None = None
    total: float = 0.0
    learning: list[float] = []
    centre: float | None = None
    scale: float = 1.0
    sum: float = 0.0
    told: bool = False


class Egress(ValueDetector[EgressParams]):
    """A volume that is far more than usual: s = max(0, s + min(z, clip) - slack) > limit, z of ln(1 + bytes).

    Bytes are summed over buckets of `every`; z is the distance of the logarithm from the median of the learnt buckets,
    in robust deviations. Logarithms, because volumes are spread over powers of ten; a sum, because data are carried out
    slowly as well as at once. The bucket that runs counts as soon as its bytes suffice, so a theft is found while it
    goes on, and once per bucket. Buckets without any traffic are neither learnt nor counted, except that each lowers s.

    The value is the number of bytes of an event; the key is the principal.
    Parameters: `limit` (deviations, 8), `slack` (1), `clip` (10), `every` (duration, 1h), `reference` (buckets, 48),
    `floor` (nats, 0.5), `bytes_min` (bytes, 1e6).
    False alarms per 10,000 buckets of independent log-normal volumes of deviation 0.5, 1 and 2: none seen (of 40,000).
    Use `sum` where a limit in bytes is known, `first-seen` for where they come from.
    Source: Page (1954), Biometrika 41, on logarithms.

    >>> from engine.detectors.contract import Observation
    >>> detector = Egress(EgressParams(reference=24))
    >>> volumes = [(1 + i % 5) * 1e6 for i in range(48)] + [4e10]
    >>> hours = [Observation(i * 3_600_000_000, f"e{i}", "s", volume) for i, volume in enumerate(volumes)]
    >>> [finding.detail for finding in map(detector.update, hours) if finding]
    ['4e+10 bytes within 1h, 1.33e+04 times the usual']
    """

    method = "egress"
    params_type = EgressParams
    state_type = _State
    restarts = True

    def restored(self) -> None:
        if len(self.state.learning) > self.params.reference:
            raise ValueError("more buckets than there can be")

    def see(self, value: float, observation: Observation) -> Finding | None:
        state, params = self.state, self.params
        bucket = observation.at_us // params.every
        if state.bucket is None:
            state.bucket = bucket
        if bucket > state.bucket:
            self._close(bucket - state.bucket)
            state.bucket = bucket
        # What comes late counts in the bucket that runs: bytes are bytes.
        state.total = min(state.total + max(value, 0.0), 1e100)
        if state.centre is None or state.told or state.total < params.bytes_min:
            return None
        reached = self._reached()
        if reached <= params.limit:
            return None
        state.told = True
        times = math.exp(min(math.log1p(state.total) - state.centre, 700.0))
        detail = f"{state.total:.4g} bytes within {format_duration(params.every)}, {times:.3g} times the usual"
        return Finding(detail=detail, value=reached, threshold=params.limit, event_ids=(observation.event_id,))

    def _reached(self) -> float:
        """The sum, if the bucket that runs ended now."""
        state, params = self.state, self.params
        z = (math.log1p(state.total) - state.centre) / state.scale
        return float(max(0.0, state.sum + min(z, params.clip) - params.slack))

    def _close(self, buckets: int) -> None:
        state, params = self.state, self.params
        if state.centre is None:
            if state.total > 0.0:
                state.learning.append(math.log1p(state.total))
            if len(state.learning) >= params.reference:
                window = SortedWindow(params.reference, state.learning)
                state.centre = window.median()
                state.scale = max(window.scale(state.centre), params.floor)
                state.learning = []
        elif state.told:
            state.sum = 0.0
        elif state.total > 0.0:
            state.sum = self._reached()
        state.sum = max(0.0, state.sum - params.slack * (buckets - 1))
        state.total, state.told = 0.0, False

    def bytes_max(self) -> int:
        return 128 + FLOAT_BYTES * self.params.reference

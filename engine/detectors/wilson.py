"""`wilson`: yes-or-no outcomes to a finding, where their rate surely passes a bound; found by name in `table.py`."""

import math
from collections import deque
from statistics import NormalDist
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.detectors.contract import Detector, Observation, Params
from engine.detectors.values import State
from engine.model import Finding

Rate = Annotated[float, Meta(ge=0.0, le=1.0)]


class WilsonParams(Params, frozen=True):
    """`above`, `below`: rates, 0 to 1 (at least one); `window`: observations; `confidence`: 0.5 to 1, on one side."""

    above: Rate | None = None
    below: Rate | None = None
    window: Annotated[int, Meta(ge=5, le=50_000)] = 500
    confidence: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.999

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise ValueError("`wilson` needs `above` or `below` (a rate, 0 to 1)")


class _State(State):
    outcomes: bytes = b""


class Wilson(Detector[WilsonParams]):
    """A rate that is surely beyond a bound: the Wilson score interval over the last `window` outcomes lies beyond it.

    With h hits of n and z the normal quantile of `confidence`, the ends are
    (h + z²/2 ± z sqrt(h (n - h) / n + z²/4)) / (n + z²). Few outcomes give a wide interval, so there is no minimum
    number to choose: nine hits of nine do not prove a rate above 0.5 at 0.999, ten of ten do.

    Parameters: `above`, `below` (rates; at least one), `window` (observations, 500), `confidence` (0.999).
    False alarms: at a true rate equal to the bound, about 1 - confidence of looks taken alone; looks overlap, so a long
    stream at the bound will alarm some time. Set the bound where it hurts, not at the usual rate.
    Use `ratio` for a plain share in a time window, `bernoulli-cusum` for a rise against the usual rate.
    Source: Wilson (1927), JASA 22; Brown, Cai, DasGupta (2001), Statistical Science 16(2).

    >>> from engine.detectors.contract import Observation
    >>> detector = Wilson(WilsonParams(above=0.5))
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=i > 2)) for i in range(30)]
    >>> next(finding.detail for finding in found if finding)
    '17 of the last 20 (85.00%): surely above 50.00%'
    """

    method = "wilson"
    params_type = WilsonParams
    needs_of = True
    of_is_bool = True

    def __init__(self, params: WilsonParams) -> None:
        super().__init__(params)
        self._z = NormalDist().inv_cdf(params.confidence)
        self._outcomes: deque[int] = deque(maxlen=params.window)
        self._hits = 0

    def update(self, observation: Observation) -> Finding | None:
        if not isinstance(observation.of, bool):
            return None
        outcomes = self._outcomes
        if len(outcomes) == self.params.window:
            self._hits -= outcomes[0]
        outcomes.append(int(observation.of))
        self._hits += observation.of
        low, high = _interval(self._hits, len(outcomes), self._z)
        share = self._hits / len(outcomes)
        said = f"{self._hits} of the last {len(outcomes)} ({share:.2%}): surely"
        if self.params.above is not None and low > self.params.above:
            detail, bound = f"{said} above {self.params.above:.2%}", self.params.above
        elif self.params.below is not None and high < self.params.below:
            detail, bound = f"{said} below {self.params.below:.2%}", self.params.below
        else:
            return None
        return Finding(detail=detail, value=share, threshold=bound, event_ids=(observation.event_id,))

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(_State(bytes(self._outcomes)))

    def load(self, blob: bytes) -> None:
        outcomes = msgspec.msgpack.decode(blob, type=_State).outcomes
        if len(outcomes) > self.params.window or outcomes.strip(b"\x00\x01"):
            raise msgspec.ValidationError("state of wilson: not a window of outcomes")
        self._outcomes = deque(outcomes, maxlen=self.params.window)
        self._hits = sum(outcomes)

    def bytes_max(self) -> int:
        return 24 + self.params.window


def _interval(hits: int, count: int, z: float) -> tuple[float, float]:
    centre, width = hits + z * z / 2.0, z * math.sqrt(hits * (count - hits) / count + z * z / 4.0)
    return (centre - width) / (count + z * z), (centre + width) / (count + z * z)

"""`nan`: a value that is no finite number to a finding; found by name in `table.py`."""

import math

import msgspec

from engine.detectors.contract import Detector, Observation, Params
from engine.detectors.values import State
from engine.model import Finding, Json

WORDS = frozenset({"nan", "inf", "infinity"})
"""How producers write what JSON has no number for; case and sign do not matter."""


class NanParams(Params, frozen=True):
    """`null`: whether a null counts, which is what many encoders make of NaN."""

    null: bool = True


class Nan(Detector[NanParams]):
    """`of` is NaN, an infinity, the word for one ("NaN", "-Infinity"), or null: the computation has broken down.

    JSON has no NaN, so producers write null or a word: that is why this takes `of` (any JSON value) and not `value`. In
    a list each element is looked at, one level deep. A missing field is no value at all: guard it with
    `where = "has(event.data.loss)"`.

    Parameters: `null` (whether null counts, true).
    False alarms: none of its own; a producer that leaves values out by writing null needs `null = false`.
    Use `loss-spike` and `gradient-norm` for the time before it comes to this.
    Source: IEEE 754; RFC 8259, section 6.

    >>> from engine.detectors.contract import Observation
    >>> detector = Nan(NanParams())
    >>> seen = (0.5, "NaN", None, [1, "-Infinity"], "n/a")
    >>> [detector.update(Observation(0, "e", "s", of=each)) is not None for each in seen]
    [False, True, True, True, False]
    """

    method = "nan"
    params_type = NanParams
    needs_of = True

    def update(self, observation: Observation) -> Finding | None:
        each = observation.of if isinstance(observation.of, list) else [observation.of]
        broken = next((str(value) for value in each if self._broken(value)), None)
        if broken is None:
            return None
        return Finding(detail=f"{broken} is no finite number", event_ids=(observation.event_id,))

    def _broken(self, value: Json) -> bool:
        if value is None:
            return self.params.null
        if isinstance(value, str):
            return value.strip().lstrip("+-").lower() in WORDS
        return isinstance(value, float) and not math.isfinite(value)

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(State())

    def load(self, blob: bytes) -> None:
        msgspec.msgpack.decode(blob, type=State)

    def bytes_max(self) -> int:
        return 8

"""`absence`: a key that fell silent to a finding, by a timer; found by name in `table.py`."""

import msgspec

from engine.clock import PositiveDuration, format_duration
from engine.detectors.contract import Detector, Observation, Params
from engine.detectors.evidence import ID_CHARS_MAX
from engine.model import Finding


class AbsenceParams(Params, frozen=True):
    """`for`: how long the silence lasts."""

    for_: PositiveDuration = msgspec.field(name="for")


class _State(msgspec.Struct, array_like=True):
    newest_us: int | None
    told: bool
    event_id: str


class Absence(Detector[AbsenceParams]):
    """No observation for `for` since the newest one: told once, by a timer, until the key is observed again.

    Parameters: `for` (event time). A key never seen is not missed.
    False alarms: pauses of honest keys that are longer than `for`; keys that end for good are told once.
    Use `drought` where fewer events than usual are a sign, too.
    Source: the dead man's switch; docs/rules.md, Exact meaning, 17.

    >>> from engine.clock import Duration
    >>> detector = Absence(AbsenceParams(for_=Duration(60)))
    >>> detector.update(Observation(100, "e1", "s"))
    >>> detector.tick(159), detector.due_us()
    (None, 160)
    >>> detector.tick(160).event_ids, detector.tick(999)
    (('e1',), None)
    """

    method = "absence"
    params_type = AbsenceParams

    def __init__(self, params: AbsenceParams) -> None:
        super().__init__(params)
        self._state = _State(newest_us=None, told=False, event_id="")

    def update(self, observation: Observation) -> None:
        if self._state.newest_us is None or observation.at_us > self._state.newest_us:
            self._state = _State(observation.at_us, told=False, event_id=observation.event_id[:ID_CHARS_MAX])

    def due_us(self) -> int | None:
        state = self._state
        return None if state.newest_us is None or state.told else state.newest_us + self.params.for_

    def tick(self, now_us: int) -> Finding | None:
        due_us = self.due_us()
        if due_us is None or now_us < due_us:
            return None
        self._state.told = True
        seconds = self.params.for_ / 1_000_000
        return Finding(
            detail=f"silent for {format_duration(self.params.for_)}",
            value=seconds,
            threshold=seconds,
            event_ids=(self._state.event_id,),
        )

    def jump(self, to_us: int, by_us: int) -> None:
        newest_us, due_us = self._state.newest_us, self.due_us()
        if newest_us is None:
            return
        leapt = due_us is not None and due_us <= to_us if by_us > 0 else newest_us > to_us
        if leapt:
            self._state.newest_us = newest_us + by_us

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(self._state)

    def load(self, blob: bytes) -> None:
        self._state = msgspec.msgpack.decode(blob, type=_State)

    def bytes_max(self) -> int:
        return 4 * ID_CHARS_MAX + 32

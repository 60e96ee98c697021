"""The detector contract: what every file of `engine/detectors/` implements.

A detector watches one key of one signal. It is fed observations in order of arrival, answers with a `Finding` or
None, keeps bounded memory, and can be written down and read back at any point with the same answers after it.
It never reads a clock: times come with the observations, or with `tick`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

import msgspec

from engine.detectors.sample import Sample
from engine.model import Event, Finding, Json, Struct

ParamsT = TypeVar("ParamsT", bound=msgspec.Struct)


class Params(Struct, frozen=True):
    """Base of a detector's parameters: the keys of `detect = { method = …, … }` besides `method` and `of`.

    Lengths of time are `engine.clock.Duration` (microseconds; `"5m"` in files). `Meta` constraints are checked at load.
    """


class Observation(Struct, frozen=True):
    """One event as a detector sees it: clamped time, id, source, and what `value` and `of` evaluated to."""

    at_us: int
    event_id: str
    source: str
    value: float | None = None
    of: Json = None


class Detector(ABC, Generic[ParamsT]):
    """State of one detection method for one key."""

    method: ClassVar[str]
    """Its name in `detect = { method = … }`."""
    params_type: ClassVar[type[msgspec.Struct]]
    """The struct of its parameters."""
    needs_value: ClassVar[bool] = False
    """Whether the signal must have a `value` (a CEL number)."""
    needs_of: ClassVar[bool] = False
    """Whether the method must have `of` (a CEL expression)."""
    of_is_bool: ClassVar[bool] = False
    """Whether `of` must be a CEL bool."""
    of_bool: ClassVar[bool] = False
    """Whether `of` must be true or false; anything else is then a fault."""
    restarts: ClassVar[bool] = False
    """Whether a finding empties the window (`count`, `distinct`); such a method cannot hold, so `for` is refused."""
    file_key: ClassVar[str | None] = None
    """Its parameter that names a file of values beside the rule file; its `Sample` is then given to the constructor."""
    file_numbers: ClassVar[bool] = False
    """Whether that file may hold numbers only."""
    version: ClassVar[int] = 1
    """Version of the dumped state; a state of another version is rebuilt from nothing, with a notice."""
    lateness_us: int = 0
    """How far behind the newest an observation may come and still count in full; set by the creator, before use."""

    def __init__(self, params: ParamsT, sample: Sample | None = None) -> None:
        assert sample is None or self.file_key is not None
        self.params = params

    @abstractmethod
    def update(self, observation: Observation) -> Finding | None:
        """Take one observation in; the finding if the condition holds with it."""

    def observe(self, event: Event, at_us: int, value: float | None, of: Json) -> Finding | None:
        """The same from the event itself: for methods that need so little of it that an Observation is worth saving."""
        return self.update(Observation(at_us, event.id, event.source, value, of))

    def due_us(self) -> int | None:
        """When `tick` wants to be called next if no event comes before; None for never."""
        return None

    @classmethod
    def timed(cls) -> bool:
        """Whether `due_us` may ever give a time."""
        return cls.due_us is not Detector.due_us

    def tick(self, now_us: int) -> Finding | None:
        """Time has come to `now_us` without an event."""
        del now_us
        return None

    def jump(self, to_us: int, by_us: int) -> None:
        """The clock was set by `by_us` to `to_us`, and no time passed: for methods with timers.

        Forwards, a timer that it jumped over is put off by as much (or nearly); back, what was seen after `to_us`, in a
        time that is yet to come, is moved back with the clock.
        """
        del to_us, by_us

    @abstractmethod
    def dump(self) -> bytes:
        """The whole state, as msgpack."""

    @abstractmethod
    def load(self, blob: bytes) -> None:
        """Take the state of `dump` over; raises `msgspec.DecodeError` (or a subclass) on anything else."""

    @abstractmethod
    def bytes_max(self) -> int:
        """An upper bound of `len(dump())` for these parameters, in bytes."""


class DetectorTable(Struct, frozen=True):
    """The detectors by method name."""

    methods: Mapping[str, type[Detector]]  # type: ignore[type-arg]  # the parameters' type differs per entry

"""What one key of one signal remembers: an object to work on, and bytes that wait. `engine.detect.state` has them."""

from typing import Any

import msgspec

from engine.detectors.contract import Detector
from engine.model import Event, Key
from engine.rulefile.rules import SignalRule

FORMAT = 3
"""Version of the layout below; the detector's own version is added to it."""


class Head(msgspec.Struct, array_like=True):
    """The beginning of a dump, which is all that is needed before the key is touched."""

    used: int
    queued_us: int | None


class _Dump(msgspec.Struct, array_like=True):
    used: int
    queued_us: int | None
    given_us: int | None
    since_us: int | None
    newest_us: int | None
    told: bool
    hold_event: bytes | None
    detector: bytes | None
    strict: bytes | None


_heads = msgspec.msgpack.Decoder(Head)
_dumps = msgspec.msgpack.Decoder(_Dump)
_encoder = msgspec.msgpack.Encoder()


class KeyState:
    """One key of one signal: the detector's window, the hold (`for`) and the last signal given (`cooldown`).

    `strict` is the second window of a signal with `watched`.
    """

    __slots__ = (
        "detector",
        "dirty",
        "for_us",
        "generation",
        "given_us",
        "hold_event",
        "key",
        "newest_us",
        "queued_us",
        "signal",
        "since_us",
        "strict",
        "told",
        "used",
    )

    def __init__(self, rule: SignalRule, lateness_us: int, key: Key = ()) -> None:
        self.signal = rule.id
        self.key = key
        self.dirty = False
        """Whether it is to be written down."""
        self.generation = -1
        """The last generation of the state in which it was touched."""
        self.detector: Detector[Any] | None = None
        if rule.detect is not None:
            self.detector = rule.detect.create()
            self.detector.lateness_us = lateness_us
        self.strict: Detector[Any] | None = None
        if rule.watched is not None:
            self.strict = rule.watched.create()
            self.strict.lateness_us = lateness_us
        self.for_us = rule.for_us
        self.given_us: int | None = None
        self.since_us: int | None = None
        self.newest_us: int | None = None
        self.told = False
        self.hold_event: Event | None = None
        self.used = 0
        self.queued_us: int | None = None
        """When the queue looks at this key next: not after its timer is due."""

    def hold_due_us(self) -> int | None:
        """When the hold will have lasted long enough, if no signal told so yet."""
        return self.since_us + self.for_us if self.for_us and self.since_us is not None and not self.told else None

    def due_us(self) -> int | None:
        """When the next timer of this key is due."""
        hold_us = self.hold_due_us()
        detector_us = self.detector.due_us() if self.detector is not None else None
        if self.strict is not None:
            strict_us = self.strict.due_us()
            if strict_us is not None and (detector_us is None or strict_us < detector_us):
                detector_us = strict_us
        if hold_us is None or detector_us is None:
            return detector_us if hold_us is None else hold_us
        return min(hold_us, detector_us)

    def jump(self, to_us: int, by_us: int) -> None:
        """The clock was set by `by_us` to `to_us`, and no time passed; as `Detector.jump`."""
        due_us, newest_us = self.hold_due_us(), self.newest_us
        leapt = due_us is not None and due_us <= to_us if by_us > 0 else newest_us is not None and newest_us > to_us
        if leapt:
            self.since_us = None if self.since_us is None else self.since_us + by_us
            self.newest_us = None if newest_us is None else newest_us + by_us
        if self.detector is not None:
            self.detector.jump(to_us, by_us)

    def release(self) -> None:
        """The hold ends."""
        self.since_us, self.told, self.hold_event = None, False, None

    def dump(self) -> bytes:
        """The whole state."""
        event = self.hold_event
        # A `_Dump`, without making one
        return _encoder.encode(
            (
                self.used,
                self.queued_us,
                self.given_us,
                self.since_us,
                self.newest_us,
                self.told,
                # As JSON: an event may hold integers that msgpack has no room for.
                None if event is None else msgspec.json.encode(event),
                None if self.detector is None else self.detector.dump(),
                None if self.strict is None else self.strict.dump(),
            )
        )

    def load(self, blob: bytes) -> None:
        """Take the state of `dump` over; raises `msgspec.DecodeError` on anything else."""
        state = _dumps.decode(blob)
        if self.detector is not None and state.detector is not None:
            self.detector.load(state.detector)
        if self.strict is not None and state.strict is not None:
            self.strict.load(state.strict)
        self.used, self.queued_us, self.given_us = state.used, state.queued_us, state.given_us
        self.since_us, self.newest_us, self.told = state.since_us, state.newest_us, state.told
        event = state.hold_event
        self.hold_event = None if event is None else msgspec.json.decode(event, type=Event)


def head(blob: bytes) -> Head:
    """When a dumped key was used and is to be looked at; raises `msgspec.DecodeError` on what is no dump."""
    return _heads.decode(blob)


def version(rule: SignalRule) -> int:
    """The version of a dump: of the layout here and of the detector's own."""
    return 1_000 * FORMAT + (rule.detect.detector.version if rule.detect else 0)

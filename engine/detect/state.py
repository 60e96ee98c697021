"""The windows per (signal, key): made, touched, evicted, timed, written down and read back.

`judge` puts observations in; `engine.core` drains what changed and restores it at start.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from engine.detectors.contract import Detector
from engine.model import Event, Key, SignalId
from engine.rulefile.rules import SignalRule
from engine.statechange import Space, StateChange

FORMAT = 1
"""Version of the layout below; the detector's own version is added to it."""
_HEAP_SLACK = 1_024


class _Dump(msgspec.Struct, array_like=True):
    used: int
    given_us: int | None
    since_us: int | None
    newest_us: int | None
    told: bool
    hold_event: bytes | None
    detector: bytes | None


class KeyState:
    """One key of one signal: the detector's window, the hold (`for`) and the last signal given (`cooldown`)."""

    __slots__ = ("detector", "for_us", "given_us", "hold_event", "newest_us", "queued_us", "since_us", "told", "used")

    def __init__(self, rule: SignalRule, lateness_us: int) -> None:
        self.detector: Detector[Any] | None = None
        if rule.detect is not None:
            self.detector = rule.detect.create()
            self.detector.lateness_us = lateness_us
        self.for_us = rule.for_us
        self.given_us: int | None = None
        self.since_us: int | None = None
        self.newest_us: int | None = None
        self.told = False
        self.hold_event: Event | None = None
        self.used = 0
        self.queued_us: int | None = None

    def hold_due_us(self) -> int | None:
        """When the hold will have lasted long enough, if no signal told so yet."""
        return self.since_us + self.for_us if self.for_us and self.since_us is not None and not self.told else None

    def due_us(self) -> int | None:
        """When the next timer of this key is due."""
        hold_us = self.hold_due_us()
        detector_us = self.detector.due_us() if self.detector is not None else None
        if hold_us is None or detector_us is None:
            return detector_us if hold_us is None else hold_us
        return min(hold_us, detector_us)

    def release(self) -> None:
        """The hold ends."""
        self.since_us, self.told, self.hold_event = None, False, None

    def dump(self) -> bytes:
        """The whole state."""
        event = self.hold_event
        return msgspec.msgpack.encode(
            _Dump(
                self.used,
                self.given_us,
                self.since_us,
                self.newest_us,
                self.told,
                # As JSON: an event may hold integers that msgpack has no room for.
                None if event is None else msgspec.json.encode(event),
                None if self.detector is None else self.detector.dump(),
            )
        )

    def load(self, blob: bytes) -> None:
        """Take the state of `dump` over; raises `msgspec.DecodeError` on anything else."""
        state = msgspec.msgpack.decode(blob, type=_Dump)
        if self.detector is not None and state.detector is not None:
            self.detector.load(state.detector)
        self.used, self.given_us, self.since_us = state.used, state.given_us, state.since_us
        self.newest_us, self.told = state.newest_us, state.told
        event = state.hold_event
        self.hold_event = None if event is None else msgspec.json.decode(event, type=Event)


class DetectState:
    """All windows. `evictions` counts the keys that each signal had to forget because it had too many."""

    def __init__(self, signals: Mapping[SignalId, SignalRule], *, keys_max: int, lateness_us: int) -> None:
        self._signals = signals
        self._keys_max = keys_max
        self._lateness_us = lateness_us
        self._tables: dict[SignalId, dict[Key, KeyState]] = {}
        self.queue: list[tuple[int, SignalId, Key]] = []
        """A heap of timers. Some are stale, none is missing: before the first of these times no timer is due."""
        self._dirty: set[tuple[SignalId, Key]] = set()
        self._gone: dict[tuple[str, Key], StateChange] = {}
        self._used = 0
        self.evictions: Counter[SignalId] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    def peek(self, signal: SignalId, key: Key) -> KeyState | None:
        """The state of a key, if there is one."""
        table = self._tables.get(signal)
        return None if table is None else table.get(key)

    def touch(self, rule: SignalRule, key: Key) -> KeyState:
        """The state of a key, made if need be; the one touched longest ago goes when there are too many."""
        table = self._tables.setdefault(rule.id, {})
        state = table.pop(key, None)
        if state is None:
            if len(table) >= self._keys_max:
                oldest = next(iter(table))
                del table[oldest]
                self._dirty.discard((rule.id, oldest))
                self._gone[rule.id, oldest] = _gone(rule, oldest)
                self.evictions[rule.id] += 1
            state = KeyState(rule, self._lateness_us)
        table[key] = state
        self._used += 1
        state.used = self._used
        self._dirty.add((rule.id, key))
        return state

    def schedule(self, signal: SignalId, key: Key, state: KeyState) -> None:
        """Call after the state changed: its timer is put in the queue."""
        due_us = state.due_us()
        if due_us is None or (state.queued_us is not None and state.queued_us <= due_us):
            return  # a queued time that is too early is put right when it comes up
        state.queued_us = due_us
        heapq.heappush(self.queue, (due_us, signal, key))
        if len(self.queue) > 2 * len(self) + _HEAP_SLACK:
            self._rebuild_heap()

    def due_us(self) -> int | None:
        """When the next timer of any key is due."""
        while self.queue:
            due_us, signal, key = self.queue[0]
            state = self.peek(signal, key)
            if state is not None and state.queued_us == due_us:
                real_us = state.due_us()
                if real_us == due_us:
                    return due_us
                state.queued_us = None
                heapq.heappop(self.queue)
                self.schedule(signal, key, state)
            else:
                heapq.heappop(self.queue)
        return None

    def pop_due(self) -> tuple[int, SignalRule, Key, KeyState] | None:
        """The next timer, taken from the queue; call `schedule` when it has been dealt with."""
        due_us = self.due_us()
        if due_us is None:
            return None
        _, signal, key = heapq.heappop(self.queue)
        state = self._tables[signal][key]
        state.queued_us = None
        self._dirty.add((signal, key))
        return due_us, self._signals[signal], key, state

    def swap(self, signals: Mapping[SignalId, SignalRule]) -> None:
        """Take new rules; windows of signals whose meaning is unchanged stay, the others go."""
        for signal, table in list(self._tables.items()):
            old, new = self._signals[signal], signals.get(signal)
            if new is None or new.digest != old.digest:
                self._gone.update({(signal, key): _gone(old, key) for key in table})
                self._dirty.difference_update([(signal, key) for key in table])
                del self._tables[signal]
        self._signals = signals
        self._rebuild_heap()

    def drain(self) -> list[StateChange]:
        """What changed since the last call, each (signal, key) once."""
        changes: dict[tuple[str, Key], StateChange] = dict(self._gone)
        for signal, key in self._dirty:
            rule, blob = self._signals[signal], self._tables[signal][key].dump()
            changes[signal, key] = StateChange(
                space=Space.WINDOWS, owner=signal, key=key, digest=rule.digest, state=blob, version=_version(rule)
            )
        self._dirty.clear()
        self._gone.clear()
        return [changes[each] for each in sorted(changes)]

    def restore(self, rows: Iterable[StateChange]) -> Iterator[str]:
        """Take over what was drained. Yields a sentence for each row that fits no rule and is thrown away."""
        loaded: list[tuple[int, SignalRule, Key, KeyState]] = []
        for row in rows:
            rule = self._signals.get(SignalId(row.owner))
            if rule is None or row.digest != rule.digest or row.version != _version(rule) or row.state is None:
                yield f"the window of signal {row.owner} for {dict(row.key)} is of other rules and begins anew"
                self._gone[row.owner, row.key] = _as_gone(row)
                continue
            state = KeyState(rule, self._lateness_us)
            try:
                state.load(row.state)
            except msgspec.DecodeError as error:
                yield f"the window of signal {row.owner} for {dict(row.key)} can't be read and begins anew: {error}"
                self._gone[row.owner, row.key] = _as_gone(row)
                continue
            loaded.append((state.used, rule, row.key, state))
        for used, rule, key, state in sorted(loaded, key=lambda each: each[0]):
            self._tables.setdefault(rule.id, {})[key] = state
            self._used = max(self._used, used)
        self._rebuild_heap()

    def _rebuild_heap(self) -> None:
        self.queue = []
        for signal, table in self._tables.items():
            for key, state in table.items():
                state.queued_us = state.due_us()
                if state.queued_us is not None:
                    self.queue.append((state.queued_us, signal, key))
        heapq.heapify(self.queue)


def _version(rule: SignalRule) -> int:
    return 1_000 * FORMAT + (rule.detect.detector.version if rule.detect else 0)


def _gone(rule: SignalRule, key: Key) -> StateChange:
    return StateChange(space=Space.WINDOWS, owner=rule.id, key=key, digest=rule.digest, state=None)


def _as_gone(row: StateChange) -> StateChange:
    return msgspec.structs.replace(row, state=None)

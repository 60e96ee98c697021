"""The windows per (signal, key): made, touched, evicted, timed, written down and read back.

`judge` puts observations in; `engine.core` drains what changed and restores it at start. A key that was quiet for long,
and each key after a restart, is kept as the bytes of its dump and becomes an object again when it is touched or timed:
a million quiet keys cost their bytes, and a restart does not decode them.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter

import msgspec

from engine.detect.keystate import KeyState, head, version
from engine.detect.watchlist import WatchList
from engine.model import Key, SignalId, format_key
from engine.rulefile.rules import SignalRule
from engine.statechange import Space, StateChange

WARM_MAX = 16_384
"""Keys of a generation. As objects are kept those of this one and the one before, and a few whose turn has not come."""
_PACKED_AT_ONCE_MIN = 1_024
_HEAP_SLACK = 1_024


class DetectState:
    """All windows. `evictions` counts the keys that each signal had to forget because it had too many."""

    def __init__(self, signals: Mapping[SignalId, SignalRule], *, keys_max: int, lateness_us: int) -> None:
        self._signals = signals
        self._labels = _labels(signals)
        self._keys_max = keys_max
        self._lateness_us = lateness_us
        self.watchlist = WatchList()
        self._tables: dict[SignalId, dict[Key, KeyState | bytes]] = {}
        self.queue: list[tuple[int, SignalId, Key]] = []
        """A heap of timers. Some are stale, none is missing: before the first of these times no timer is due."""
        self._by_use: set[SignalId] = set()
        """Signals whose table is in the order of last use: kept from the time on when it is half full."""
        self._dirty: list[KeyState] = []
        self._gone: dict[tuple[str, Key], StateChange] = {}
        self._generation = 0
        self._young: list[KeyState] = []
        """Keys touched in this generation, which ends when they are WARM_MAX."""
        self._old: list[KeyState] = []
        """Keys touched in the generation before."""
        self._cold: list[KeyState] = []
        """Keys that are made bytes unless they were touched before their turn."""
        self._used = 0
        self.evictions: Counter[SignalId] = Counter()
        self.broken: list[tuple[SignalId, str]] = []
        """Of which signal a key began anew, and why; `judge` makes faults of it with the next event."""

    def reconfigure(self, *, keys_max: int, lateness_us: int) -> None:
        """Other bounds from now on, for the windows that there are as well."""
        self._keys_max = keys_max
        if lateness_us != self._lateness_us:
            self._lateness_us = lateness_us
            for table in self._tables.values():
                for state in table.values():
                    # What is kept as bytes takes it when it becomes an object again.
                    if isinstance(state, KeyState) and state.detector is not None:
                        state.detector.lateness_us = lateness_us

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    def peek(self, signal: SignalId, key: Key) -> KeyState | None:
        """The state of a key, if there is one."""
        table = self._tables.get(signal)
        if table is None:
            return None
        state = table.get(key)
        if isinstance(state, bytes):
            state = table[key] = self._unpack(self._signals[signal], key, state)
        return state

    def touch(self, rule: SignalRule, key: Key) -> KeyState:
        """The state of a key, made if need be; the one touched longest ago goes when there are too many."""
        table = self._tables.get(rule.id)
        if table is None:
            table = self._tables[rule.id] = {}
        state = table.get(key)
        if state is None:
            self._make_room(rule, table)
            state = table[key] = KeyState(rule, self._lateness_us, key)
        elif isinstance(state, bytes):
            state = table[key] = self._unpack(rule, key, state)
        if self._by_use and rule.id in self._by_use:
            del table[key]
            table[key] = state
        self._used += 1
        state.used = self._used
        if not state.dirty:
            state.dirty = True
            self._dirty.append(state)
        return state

    def _make_room(self, rule: SignalRule, table: dict[Key, KeyState | bytes]) -> None:
        """For one key more: the one touched longest ago goes when there are too many."""
        if 2 * len(table) >= self._keys_max and rule.id not in self._by_use:
            # Far from the limit nobody asks for the order: it is made once, and kept from here on.
            in_order = sorted(table.items(), key=lambda item: _used(item[1]))
            table.clear()
            table.update(in_order)
            self._by_use.add(rule.id)
        if len(table) >= self._keys_max:
            oldest = next(iter(table))
            state = table.pop(oldest)
            if isinstance(state, KeyState):
                state.dirty = False
            self._gone[rule.id, oldest] = _gone(rule, oldest)
            self.evictions[rule.id] += 1

    def _mark(self, state: KeyState) -> None:
        """It is to be written down."""
        if not state.dirty:
            state.dirty = True
            self._dirty.append(state)

    def schedule(self, signal: SignalId, key: Key, state: KeyState) -> None:
        """Call after the state changed: its timer is put in the queue."""
        due_us = state.due_us()
        if due_us is None or (state.queued_us is not None and state.queued_us <= due_us):
            return  # a queued time that is too early is put right when it comes up
        state.queued_us = due_us
        heapq.heappush(self.queue, (due_us, signal, key))
        if len(self.queue) > 2 * len(self) + _HEAP_SLACK:
            self._rebuild_heap()

    def renew(self, rule: SignalRule, key: Key, error: Exception) -> str:
        """The detector of a key failed: the key begins anew; the sentence that says so."""
        table = self._tables[rule.id]
        failed = table[key]
        if isinstance(failed, KeyState):
            failed.dirty = False
        table[key] = state = KeyState(rule, self._lateness_us, key)
        self._mark(state)
        method = "" if rule.detect is None else rule.detect.method
        what = f"{type(error).__name__}: {error}"
        return f"`{method}` failed ({what}); what it remembered for {format_key(key)} begins anew"

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
        state = self.peek(signal, key)
        assert state is not None, "what is due is there"
        state.queued_us = None
        self._mark(state)
        return due_us, self._signals[signal], key, state

    def jump(self, to_us: int, by_us: int) -> None:
        """The clock was set by `by_us` to `to_us`: keys with a timer keep its distance from now."""
        for signal, key in {(signal, key) for due_us, signal, key in self.queue if by_us < 0 or due_us <= to_us}:
            state = self.peek(signal, key)
            if state is not None:
                state.jump(to_us, by_us)
                state.queued_us = None
                self._mark(state)
                self.schedule(signal, key, state)

    def swap(self, signals: Mapping[SignalId, SignalRule]) -> None:
        """Take new rules; windows of signals whose meaning is unchanged stay, the others go."""
        for signal, table in list(self._tables.items()):
            old, new = self._signals[signal], signals.get(signal)
            if new is None or new.digest != old.digest:
                self._gone.update({(signal, key): _gone(old, key) for key in table})
                del self._tables[signal]
                self._by_use.discard(signal)
        for state in self._dirty:
            state.dirty = state.dirty and state.signal in self._tables
        self._signals = signals
        self._labels = _labels(signals)
        self.queue = [each for each in self.queue if each[1] in self._tables]
        heapq.heapify(self.queue)

    def drain(self) -> list[StateChange]:
        """What changed since the last call, each (signal, key) once."""
        gone = self._gone
        changes: list[StateChange] = []
        for state in self._dirty:
            if state.dirty:
                state.dirty = False
                signal, key = state.signal, state.key
                digest, number = self._labels[signal]
                changes.append(StateChange(Space.WINDOWS, signal, key, digest, state.dump(), number))
                if gone:
                    gone.pop((signal, key), None)  # it went and came again
                self._grow_young(state)
        changes += gone.values()
        self._dirty.clear()
        gone.clear()
        self._pack_quiet(max(_PACKED_AT_ONCE_MIN, 2 * len(changes)))
        return changes

    def restore(self, rows: Iterable[StateChange]) -> Iterator[str]:
        """Take over what was drained, unopened. Yields a sentence for each signal of which rows are thrown away."""
        loaded: dict[SignalId, list[tuple[int, Key, bytes]]] = {}
        unfit: dict[tuple[str, str], list[Key]] = {}
        versions = {name: version(rule) for name, rule in self._signals.items()}
        for row in rows:
            signal, blob = SignalId(row.owner), row.state
            rule = self._signals.get(signal)
            try:
                if rule is None or row.digest != rule.digest:
                    why = "other rules"
                elif row.version != versions[signal]:
                    why = f"an unknown version ({row.version}, this Halon writes {versions[signal]})"
                elif blob is None:
                    why = "nothing"
                else:
                    start = head(blob)
                    loaded.setdefault(signal, []).append((start.used, row.key, blob))
                    if start.queued_us is not None:
                        self.queue.append((start.queued_us, signal, row.key))
                    continue
            except msgspec.DecodeError as error:
                why = f"what can't be read ({error})"
            unfit.setdefault((row.owner, why), []).append(row.key)
            self._gone[row.owner, row.key] = msgspec.structs.replace(row, state=None)
        for signal, kept in loaded.items():
            kept.sort(key=itemgetter(0))
            self._tables[signal] = {key: blob for _, key, blob in kept}
            self._by_use.add(signal)
            self._used = max(self._used, kept[-1][0])
        heapq.heapify(self.queue)
        for (owner, why), keys in unfit.items():
            yield f"windows of signal {owner} are of {why} and begin anew: {_listed(keys)}"

    def _unpack(self, rule: SignalRule, key: Key, blob: bytes) -> KeyState:
        """The object of what was bytes; a new one, and a note of it, where they can't be read."""
        state = KeyState(rule, self._lateness_us, key)
        try:
            state.load(blob)
        except msgspec.DecodeError as error:
            state = KeyState(rule, self._lateness_us, key)
            self.broken.append((rule.id, f"what is remembered for {format_key(key)} can't be read: {error}"))
            self._mark(state)
        self._grow_young(state)
        return state

    def _grow_young(self, state: KeyState) -> None:
        """It was touched in this generation."""
        if state.generation != self._generation:
            state.generation = self._generation
            self._young.append(state)

    def _pack_quiet(self, most: int) -> None:
        """Make bytes of at most so many keys that were not touched for a generation. Nothing may be dirty."""
        if len(self._young) >= WARM_MAX:
            self._cold += self._old
            self._old, self._young = self._young, []
            self._generation += 1
        for _ in range(min(most, len(self._cold))):
            state = self._cold.pop()
            table = self._tables.get(state.signal)
            touched = state.generation >= self._generation - 1
            if table is not None and not touched and table.get(state.key) is state:
                table[state.key] = state.dump()

    def _rebuild_heap(self) -> None:
        self.queue = []
        for signal, table in self._tables.items():
            for key, state in table.items():
                if isinstance(state, bytes):
                    queued_us = head(state).queued_us
                else:
                    queued_us = state.queued_us = state.due_us()
                if queued_us is not None:
                    self.queue.append((queued_us, signal, key))
        heapq.heapify(self.queue)


def _used(state: KeyState | bytes) -> int:
    return head(state).used if isinstance(state, bytes) else state.used


def _labels(signals: Mapping[SignalId, SignalRule]) -> dict[SignalId, tuple[str, int]]:
    """What the rows of each signal are marked with: the digest and the version."""
    return {name: (rule.digest, version(rule)) for name, rule in signals.items()}


def _gone(rule: SignalRule, key: Key) -> StateChange:
    return StateChange(space=Space.WINDOWS, owner=rule.id, key=key, digest=rule.digest, state=None)


def _listed(keys: list[Key]) -> str:
    """`3 keys, such as run=a`."""
    return f"{len(keys):,} key{'' if len(keys) == 1 else 's'}, such as {format_key(keys[0])}"

"""`distinct`: values to a finding, where many different ones lie close together; found by name in `table.py`."""

from bisect import bisect_left, bisect_right
from collections import Counter
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.clock import PositiveDuration, format_duration
from engine.detectors.contract import Detector, Observation, Params
from engine.detectors.evidence import EVIDENCE_BYTES_MAX, Evidence
from engine.detectors.hyperloglog import SLICE_BYTES_MAX, SlicedHyperLogLog
from engine.model import Finding, Json

EXACT_MAX = 1_000
"""A larger `at_least` is judged by a sketch."""
SLICES = 32
"""Slices of a window in a sketch."""
SLICES_MAX = 2 * SLICES + 2
"""Remembered of a key: those of a window, and of as much again for late observations."""


class DistinctParams(Params, frozen=True):
    """`at_least` different values of `of` within `within`."""

    at_least: Annotated[int, Meta(ge=1, le=10_000_000)]
    within: PositiveDuration


class _State(msgspec.Struct, array_like=True):
    newest_us: int | None
    seen: list[tuple[int, list[int]]]
    ids: list[str]


class _Sketched(msgspec.Struct, array_like=True):
    newest_us: int | None
    slices: list[tuple[int, bytes]]
    ids: list[str]


class Distinct(Detector[DistinctParams]):
    """`at_least` different values of `of` that lie within `within` of each other; the window is then emptied.

    Parameters: `at_least` (different values), `within` (event time).
    Up to an `at_least` of 1,000 exact, but for the 64-bit hashes that stand for values: two of n values share one with
    a chance of n*n / 2**65. A larger one is judged by a sketch, whose standard error is 2.3 % of the number, over the
    window that ends with the newest observation and begins at a 32nd of `within`.
    Memory: of each value at most two times for each `within` remembered, since a time between two that are no further
    apart than `within` is in no window without one of them; with the sketch at most 66 times 2 KiB.
    False alarms: as many as benign keys reach `at_least`; measure that on recorded events. For a mere number of events
    use `count`.
    Source: Flajolet, Fusy, Gandouet and Meunier (2007), HyperLogLog, AofA; docs/rules.md, Exact meaning, 14.

    >>> from engine.clock import Duration
    >>> from engine.detectors.contract import Observation
    >>> detector = Distinct(DistinctParams(at_least=3, within=Duration(10_000_000)))
    >>> values = ["a", "b", "a", "b", "c"]
    >>> [detector.update(Observation(i, f"e{i}", "s", of=each)) is not None for i, each in enumerate(values)]
    [False, False, False, False, True]
    """

    method = "distinct"
    params_type = DistinctParams
    needs_of = True
    restarts = True

    def __init__(self, params: DistinctParams) -> None:
        super().__init__(params)
        self._newest_us: int | None = None
        self._seen: dict[int, list[int]] = {}
        self._times = 0
        self._latest: dict[int, int] = {}
        self._evidence = Evidence()
        self._sketch = SlicedHyperLogLog() if params.at_least > EXACT_MAX else None
        self._grain_us = -(-params.within // SLICES)

    def update(self, observation: Observation) -> Finding | None:
        if self._sketch is not None:
            return self._estimate(self._sketch, observation)
        at_us, newest_us, value = observation.at_us, self._newest_us, value_hash(observation.of)
        if newest_us is None or at_us >= newest_us:
            self._newest_us = at_us
            self._remember(value, at_us)
            self._latest.pop(value, None)
            self._latest[value] = at_us
            while self._latest[first := next(iter(self._latest))] < at_us - self.params.within:
                del self._latest[first]
            found = len(self._latest) >= self.params.at_least
        elif at_us < newest_us - self.params.within - self.lateness_us:
            return None
        else:
            self._remember(value, at_us)
            self._rank()
            found = self._some_window(at_us)
        self._evidence.add(observation.event_id)
        return self._find() if found else None

    def _estimate(self, sketch: SlicedHyperLogLog, observation: Observation) -> Finding | None:
        """By the sketch: whether the window that ends with the newest observation has enough."""
        at_us, within, grain_us = observation.at_us, self.params.within, self._grain_us
        if self._newest_us is None or at_us > self._newest_us:
            self._newest_us = at_us
            sketch.forget((at_us - self._reach_us()) // grain_us)
        elif at_us < self._newest_us - self._reach_us():
            return None
        sketch.add(at_us // grain_us, value_hash(observation.of))
        self._evidence.add(observation.event_id)
        number = sketch.estimate((self._newest_us - within) // grain_us)
        return self._find() if number >= self.params.at_least else None

    def _reach_us(self) -> int:
        return self.params.within + min(self.lateness_us, self.params.within)

    def _remember(self, value: int, at_us: int) -> None:
        times = self._seen.setdefault(value, [])
        place = bisect_right(times, at_us)
        times.insert(place, at_us)
        self._times += 1
        # Whichever of its neighbours now lies between two that one window spans is in no window of its own.
        for middle in (place + 1, place, place - 1):
            if 0 < middle < len(times) - 1 and times[middle + 1] - times[middle - 1] <= self.params.within:
                del times[middle]
                self._times -= 1
        if self._times > self._times_max():
            self._sweep()

    def _sweep(self) -> None:
        """Forget what is older than any window."""
        assert self._newest_us is not None
        oldest_us = self._newest_us - self.params.within - self.lateness_us
        for value, times in list(self._seen.items()):
            del times[: bisect_left(times, oldest_us)]
            if not times:
                del self._seen[value]
        self._times = sum(map(len, self._seen.values()))

    def _rank(self) -> None:
        """The values of the window that ends with the newest observation, by their latest times."""
        assert self._newest_us is not None
        oldest_us = self._newest_us - self.params.within
        latest = ((times[-1], value) for value, times in self._seen.items() if times[-1] >= oldest_us)
        self._latest = {value: at_us for at_us, value in sorted(latest)}

    def _some_window(self, at_us: int) -> bool:
        """Whether a window with `at_us` in it has enough different values."""
        assert self._newest_us is not None
        within, needed = self.params.within, self.params.at_least
        oldest_us = max(at_us - within, self._newest_us - within - self.lateness_us)
        near = sorted(
            (time, value)
            for value, times in self._seen.items()
            for time in times[bisect_left(times, oldest_us) : bisect_right(times, at_us + within)]
        )
        inside: Counter[int] = Counter()
        end = 0
        for start_us, value in near:
            if start_us > at_us:
                break
            while end < len(near) and near[end][0] <= start_us + within:
                inside[near[end][1]] += 1
                end += 1
            if len(inside) >= needed:
                return True
            inside[value] -= 1
            if not inside[value]:
                del inside[value]
        return False

    def _find(self) -> Finding:
        needed = self.params.at_least
        ids = self._evidence.ids
        self._seen, self._times, self._latest, self._evidence = {}, 0, {}, Evidence()
        about = "" if self._sketch is None else "about "
        self._sketch = None if self._sketch is None else SlicedHyperLogLog()
        values = f"{about}{needed} different value{'' if needed == 1 else 's'}"
        detail = f"{values} within {format_duration(self.params.within)}"
        return Finding(detail=detail, value=float(needed), threshold=float(needed), event_ids=tuple(ids))

    def dump(self) -> bytes:
        if self._sketch is not None:
            return msgspec.msgpack.encode(_Sketched(self._newest_us, self._sketch.parts(), self._evidence.ids))
        return msgspec.msgpack.encode(_State(self._newest_us, list(self._seen.items()), self._evidence.ids))

    def load(self, blob: bytes) -> None:
        if self._sketch is not None:
            sketched = msgspec.msgpack.decode(blob, type=_Sketched)
            try:
                self._sketch = SlicedHyperLogLog(sketched.slices)
            except ValueError as error:
                raise msgspec.ValidationError(f"state of distinct: {error}") from error
            self._newest_us, self._evidence = sketched.newest_us, Evidence(sketched.ids)
            return
        state = msgspec.msgpack.decode(blob, type=_State)
        if not all(times for _, times in state.seen) or (state.seen and state.newest_us is None):
            raise msgspec.ValidationError("state of distinct: a value without times")
        self._newest_us, self._seen, self._evidence = state.newest_us, dict(state.seen), Evidence(state.ids)
        self._times = sum(map(len, self._seen.values()))
        self._latest = {}
        if self._seen:
            self._rank()

    def _times_max(self) -> int:
        """Twice what can be remembered at once, so that sweeping is rare."""
        windows = (self.params.within + self.lateness_us) // self.params.within + 1
        return 4 * self.params.at_least * windows

    def bytes_max(self) -> int:
        if self._sketch is not None:
            return SLICES_MAX * (9 + 5 + SLICE_BYTES_MAX) + EVIDENCE_BYTES_MAX + 32
        return 20 * (self._times_max() + 1) + EVIDENCE_BYTES_MAX + 16


def value_hash(value: Json) -> int:
    """64 bits that are equal for equal JSON values (1 and 1.0 are equal, the order of members is nothing)."""
    return int.from_bytes(blake2b(_canonical(value), digest_size=8).digest())


def _canonical(value: Json) -> bytes:
    match value:
        case str():
            return b'"' + value.encode("utf-8", "surrogatepass")
        case bool() | None:
            return repr(value).encode()
        case int():
            return b"%d" % value
        case float():
            return b"%d" % int(value) if value.is_integer() else repr(value).encode()
        case list():
            parts = [_canonical(each) for each in value]
        case dict():
            parts = [part for name in sorted(value) for part in (_canonical(name), _canonical(value[name]))]
    # Lengths before the parts: no two different values are written alike.
    return type(value).__name__.encode() + b"".join(b"%d:%s" % (len(part), part) for part in parts)

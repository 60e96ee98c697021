"""What the detectors of one number share: safe input, a bounded sorted window, and state that can be written down.

`ValueDetector` turns an observation into a finite number for `see` and keeps its whole state in one msgspec struct, so
that `dump` and `load` are exact. Called by the detector files of this folder only.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

import msgspec

from engine.detectors.contract import Detector, Observation
from engine.model import Finding

ParamsT = TypeVar("ParamsT", bound=msgspec.Struct)

VALUE_MAX = 1e100
"""Larger magnitudes count as this, so that squares and sums of them stay finite."""
MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to the standard deviation of a normal distribution: 1 / Phi^-1(3/4)."""
MEAN_AD_TO_SIGMA = 1.2533
"""Mean absolute deviation to the standard deviation of a normal distribution: sqrt(pi / 2)."""
FLOAT_BYTES = 9
"""A float in msgpack."""


class State(msgspec.Struct, forbid_unknown_fields=True):
    """Base of a detector's state: plain numbers and lists of them, changed in place."""


def usable(value: float | None) -> float | None:
    """The value clamped to what arithmetic can bear; None for nothing, NaN and infinities."""
    if value is None or not math.isfinite(value):
        return None
    return min(max(value, -VALUE_MAX), VALUE_MAX)


class StateDetector(Detector[ParamsT]):
    """A detector whose whole state is one msgspec struct."""

    state_type: ClassVar[type[State]] = State
    """The struct that holds the whole state; its defaults are the state before the first observation."""

    def __init__(self, params: ParamsT) -> None:
        super().__init__(params)
        self.state: Any = self.state_type()
        self.restored()

    def restored(self) -> None:
        """`state` was replaced: rebuild what is derived from it; ValueError if it can't be one of these parameters."""

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(self.state)

    def load(self, blob: bytes) -> None:
        before, self.state = self.state, msgspec.msgpack.decode(blob, type=self.state_type)
        try:
            self.restored()
        except ValueError as error:
            self.state = before
            self.restored()
            raise msgspec.ValidationError(f"state of {self.method}: {error}") from error


class ValueDetector(StateDetector[ParamsT]):
    """A detector of one number. A missing or non-finite value changes nothing and finds nothing."""

    needs_value = True

    def update(self, observation: Observation) -> Finding | None:
        value = observation.value
        if value is None or not -VALUE_MAX <= value <= VALUE_MAX:  # also where it is not a number
            value = usable(value)
            if value is None:
                return None
        return self.see(value, observation)

    def see(self, value: float, observation: Observation) -> Finding | None:
        """Take a finite value in; the finding if the condition holds with it."""
        raise NotImplementedError


class SortedWindow:
    """The last `size` numbers, in order of arrival and in order of size: median and MAD without sorting again."""

    def __init__(self, size: int, values: Iterable[float] = ()) -> None:
        self._size = size
        self._arrived = deque(values)
        if len(self._arrived) > size:
            raise ValueError(f"{len(self._arrived)} values in a window of {size}")
        if not all(map(math.isfinite, self._arrived)):
            raise ValueError("a value that is not finite")
        self._sorted = sorted(self._arrived)

    def __len__(self) -> int:
        return len(self._sorted)

    def push(self, value: float) -> None:
        """Take `value` in; the oldest one leaves a full window."""
        if len(self._arrived) == self._size:
            del self._sorted[bisect_left(self._sorted, self._arrived.popleft())]
        self._arrived.append(value)
        insort(self._sorted, value)

    def values(self) -> list[float]:
        """The values in order of arrival."""
        return list(self._arrived)

    def median(self) -> float:
        """The median; the window must not be empty."""
        ordered, middle = self._sorted, len(self._sorted) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

    def scale(self, centre: float) -> float:
        """A robust standard deviation about `centre`: from the MAD, or from the mean deviation where that is zero."""
        middle = _median_distance(self._sorted, centre)
        if middle > 0:
            return MAD_TO_SIGMA * middle
        return MEAN_AD_TO_SIGMA * sum(abs(value - centre) for value in self._sorted) / len(self._sorted)


def _median_distance(ordered: list[float], centre: float) -> float:
    """The (upper) median of |value - centre| over sorted values, by bisection: the distances grow both ways from it.

    Of the k+1 nearest values, `left` lie at the low end of a run of k+1 neighbours; the run is found in O(log n).
    """
    size = len(ordered)
    run = size // 2 + 1
    low, high = 0, size - run
    while low < high:
        left = (low + high) // 2
        # Move right while the value that would enter is nearer than the one that would leave.
        if ordered[left + run] - centre < centre - ordered[left]:
            low = left + 1
        else:
            high = left
    return max(abs(ordered[low] - centre), abs(ordered[low + run - 1] - centre))

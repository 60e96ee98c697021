"""64-bit hashes in slices of time to an estimate of how many different ones there are in the last of them.

A HyperLogLog per slice; those of a window are merged by the maximum of each register, so that nothing is counted twice.
`distinct` uses it where it would else have to keep many values. The standard error is 1.04 / sqrt(REGISTERS) = 2.3 %
of the number, whatever the number is. Deterministic: the same hashes in any order give the same registers.
Source: Flajolet, Fusy, Gandouet and Meunier (2007), HyperLogLog, AofA; the estimate from the registers after Ertl
(2017), New Cardinality Estimation Algorithms for HyperLogLog Sketches, arXiv:1702.01284, which has no bias to correct.
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

INDEX_BITS = 11
REGISTERS = 1 << INDEX_BITS
ERROR = 1.04 / math.sqrt(REGISTERS)
"""The standard error of an estimate, as a share of it."""
_REST_BITS = 64 - INDEX_BITS
_SPARSE = REGISTERS // 3
"""With fewer registers in use, these are written one by one."""
SLICE_BYTES_MAX = REGISTERS
_SCALE = REGISTERS * REGISTERS / (2.0 * math.log(2.0))

Registers = npt.NDArray[np.uint8]


class SlicedHyperLogLog:
    """The registers of each slice, and of all the slices from `since` on, merged."""

    def __init__(self, slices: Iterable[tuple[int, bytes]] = ()) -> None:
        """From what `parts` gave; ValueError on anything else."""
        self._slices = {number: _unpack(packed) for number, packed in slices}
        self._since: int | None = None
        self._merged: Registers = np.zeros(REGISTERS, dtype=np.uint8)
        self._counts: list[int] = []
        self._estimate: float | None = None

    def __len__(self) -> int:
        return len(self._slices)

    def add(self, number: int, hashed: int) -> None:
        """Take a 64-bit hash into the slice of that number."""
        place, rest = hashed >> _REST_BITS, hashed & ((1 << _REST_BITS) - 1)
        rank = _REST_BITS - rest.bit_length() + 1
        registers = self._slices.get(number)
        if registers is None:
            registers = self._slices[number] = np.zeros(REGISTERS, dtype=np.uint8)
        if rank <= registers[place]:
            return
        registers[place] = rank
        if self._since is not None and number >= self._since and rank > self._merged[place]:
            self._counts[int(self._merged[place])] -= 1
            self._counts[rank] += 1
            self._merged[place], self._estimate = rank, None

    def forget(self, before: int) -> None:
        """Slices of a smaller number are gone."""
        for number in [each for each in self._slices if each < before]:
            del self._slices[number]

    def estimate(self, since: int) -> float:
        """How many different hashes the slices from that number on hold."""
        if since != self._since:
            kept = [registers for number, registers in self._slices.items() if number >= since]
            self._merged = np.max(kept, axis=0) if kept else np.zeros(REGISTERS, dtype=np.uint8)
            self._counts = np.bincount(self._merged, minlength=_REST_BITS + 2).tolist()
            self._since, self._estimate = since, None
        if self._estimate is None:
            self._estimate = _estimate(self._counts)
        return self._estimate

    def parts(self) -> list[tuple[int, bytes]]:
        """The slices in a form that can be written down."""
        return [(number, _pack(registers)) for number, registers in self._slices.items()]


def _pack(registers: Registers) -> bytes:
    """All registers, or the places and values of those in use where they are few."""
    used = np.flatnonzero(registers)
    if len(used) >= _SPARSE:
        return registers.tobytes()
    return used.astype("<u2").tobytes() + registers[used].tobytes()


def _unpack(packed: bytes) -> Registers:
    if len(packed) == REGISTERS:
        registers = np.frombuffer(packed, dtype=np.uint8).copy()
    else:
        size, rest = divmod(len(packed), 3)
        places = np.frombuffer(packed[: 2 * size], dtype="<u2")
        if rest or size >= _SPARSE or (size and int(places.max()) >= REGISTERS):
            raise ValueError(f"{len(packed)} bytes are no registers")
        registers = np.zeros(REGISTERS, dtype=np.uint8)
        registers[places] = np.frombuffer(packed[2 * size :], dtype=np.uint8)
    if int(registers.max()) > _REST_BITS + 1:
        raise ValueError("a register beyond what a hash can give")
    return registers


def _estimate(counts: list[int]) -> float:
    """From how many registers have each value (Ertl's equation 31)."""
    z = REGISTERS * _tau(1.0 - counts[_REST_BITS + 1] / REGISTERS)
    for value in range(_REST_BITS, 0, -1):
        z = 0.5 * (z + counts[value])
    return _SCALE / (z + REGISTERS * _sigma(counts[0] / REGISTERS))


def _sigma(x: float) -> float:
    """x + sum of x^(2^k) * 2^(k-1), k from 1."""
    if x == 1.0:
        return math.inf
    power, total, before = 1.0, x, -1.0
    while total != before:
        x, before = x * x, total
        total += x * power
        power += power
    return total


def _tau(x: float) -> float:
    """(1 - x - sum of (1 - x^(2^-k))^2 * 2^-k, k from 1) / 3."""
    if x in {0.0, 1.0}:
        return 0.0
    power, total, before = 1.0, 1.0 - x, -1.0
    while total != before:
        x, before, power = math.sqrt(x), total, 0.5 * power
        total -= (1.0 - x) ** 2 * power
    return total / 3.0

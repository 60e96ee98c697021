"""Numbers in slices of time to a quantile of the last of them, each within 1 % of its value.

Numbers fall into bins whose bounds grow by a factor: a number in a bin and the bin's middle differ by at most ERROR of
it. Per slice of time there is one table of bins and counts; those of a window are added up. `quantile` uses it where it
would else have to keep many numbers. Deterministic: the same numbers in any order give the same bins, unless a slice
has more than BINS_MAX of them, when those nearest to zero are put together.
Source: Masson, Rim and Lee (2019), DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees,
PVLDB 12(12).
"""

import math
from bisect import insort
from collections.abc import Iterable, Mapping

ERROR = 0.01
"""How far a quantile may be from the exact one, as a share of it."""
BINS_MAX = 512
"""Bins of one slice: numbers of one sign over a factor of 28,000. Smaller ones then count as the smallest kept."""
SMALLEST = 1e-12
"""A number nearer to zero is zero."""
_FACTOR = (1.0 + ERROR) / (1.0 - ERROR)
_LOG_FACTOR = math.log(_FACTOR)
_LOG_SMALLEST = math.log(SMALLEST)
BIN_MAX = math.ceil((math.log(1e100) - _LOG_SMALLEST) / _LOG_FACTOR) + 1
SLICE_BYTES_MAX = 5 + BINS_MAX * (3 + 9)


class SlicedDDSketch:
    """The bins of each slice, and of all the slices from `since` on, added up."""

    def __init__(self, slices: Iterable[tuple[int, Mapping[int, int]]] = ()) -> None:
        """From what `parts` gave; ValueError on anything else."""
        self._slices = {number: dict(bins) for number, bins in slices}
        for bins in self._slices.values():
            if len(bins) > BINS_MAX or not all(abs(each) <= BIN_MAX and count > 0 for each, count in bins.items()):
                raise ValueError("bins that can't be")
        self._since: int | None = None
        self._merged: dict[int, int] = {}
        self._order: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._slices)

    def add(self, number: int, value: float) -> None:
        """Take a finite number into the slice of that number."""
        bins = self._slices.setdefault(number, {})
        place = bin_of(value)
        bins[place] = bins.get(place, 0) + 1
        if len(bins) > BINS_MAX:
            _put_together(bins)
            self._since = None
        elif self._since is not None and number >= self._since:
            self._count += 1
            if place not in self._merged:
                insort(self._order, place)
                self._merged[place] = 0
            self._merged[place] += 1

    def forget(self, before: int) -> None:
        """Slices of a smaller number are gone."""
        for number in [each for each in self._slices if each < before]:
            del self._slices[number]

    def window(self, since: int) -> "Bins":
        """The numbers in the slices from that number on."""
        if since != self._since:
            self._since, (self._merged, self._order, self._count) = since, self.between(since, None)
        return Bins(self._merged, self._order, self._count)

    def between(self, since: int, until: int | None) -> tuple[dict[int, int], list[int], int]:
        """The bins of the slices from `since` to `until`, their order, and how many numbers they hold."""
        merged: dict[int, int] = {}
        for number, bins in self._slices.items():
            if number >= since and (until is None or number <= until):
                for place, count in bins.items():
                    merged[place] = merged.get(place, 0) + count
        return merged, sorted(merged), sum(merged.values())

    def parts(self) -> list[tuple[int, dict[int, int]]]:
        """The slices in a form that can be written down."""
        return list(self._slices.items())


class Bins:
    """The bins of a window: how many numbers, and the one of a rank."""

    __slots__ = ("_counts", "_order", "count")

    def __init__(self, counts: dict[int, int], order: list[int], count: int) -> None:
        self._counts, self._order, self.count = counts, order, count

    def ranked(self, rank: int) -> float:
        """The number of that rank, 1 to `count`, within ERROR of it. Looked for from the nearer end."""
        if 2 * rank <= self.count:
            for place in self._order:
                rank -= self._counts[place]
                if rank <= 0:
                    return value_of(place)
        else:
            rank = self.count - rank
            for place in reversed(self._order):
                rank -= self._counts[place]
                if rank < 0:
                    return value_of(place)
        raise ValueError("no number has that rank")


def bin_of(value: float) -> int:
    """The bin of a number of at most 1e100: 0 around zero, larger for larger numbers, negative for negative ones."""
    size = abs(value)
    if size <= SMALLEST:
        return 0
    place = min(max(1, math.ceil((math.log(size) - _LOG_SMALLEST) / _LOG_FACTOR)), BIN_MAX)
    return place if value > 0 else -place


def value_of(place: int) -> float:
    """The middle of a bin: no number in it is further than ERROR of itself away."""
    if place == 0:
        return 0.0
    size = math.exp(_LOG_SMALLEST + abs(place) * _LOG_FACTOR) * 2.0 / (1.0 + _FACTOR)
    return size if place > 0 else -size


def _put_together(bins: dict[int, int]) -> None:
    """The bin nearest to zero joins the next one away from it, on its own side if there is one."""
    nearest = min(bins, key=lambda place: (abs(place), place))
    own = [place for place in bins if place != nearest and (place >= 0) == (nearest >= 0)]
    into = min(own or (place for place in bins if place != nearest), key=lambda place: (abs(place), place))
    bins[into] += bins.pop(nearest)

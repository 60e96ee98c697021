"""`adwin`: a value to a finding, where the mean of the recent past left that before it; found by name in `table.py`."""

import math
from typing import Annotated, Literal

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, State, ValueDetector
from engine.model import Finding

BUCKETS_PER_ROW = 5
"""Buckets of one size before the two oldest of them become one of twice the size."""
ROWS_MAX = 20
"""Rows of buckets; the oldest bucket goes when there would be more: 5 million values are remembered at most."""
SIDE_MIN = 5
"""Values on each side of a cut before it is considered."""


class AdwinParams(Params, frozen=True):
    """`delta`: the confidence (smaller alarms less); `range`: width of the interval in which values lie, in their unit.

    `side`: which moves of the mean count; `every`: observations between two looks.
    """

    delta: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.002
    range: Annotated[float, Meta(gt=0.0)] = 1.0
    side: Literal["both", "above", "below"] = "both"
    every: Annotated[int, Meta(ge=1, le=10_000)] = 32


class _Bucket(State, array_like=True):
    total: float
    squares: float


class _State(State):
    rows: list[list[_Bucket]] = []
    since: int = 0


class Adwin(ValueDetector[AdwinParams]):
    """An adaptive window: it grows while its values have one mean, and drops its old part where two means differ.

    For each cut of the window into n0 old and n1 new values, with m = 1/n0 + 1/n1, d = ln(2 ln(n) / delta) and v the
    variance of the window, the means differ when |mean0 - mean1| > sqrt(2 m v d) + 2/3 range m d. The window is kept in
    buckets of 1, 2, 4, … values, five of each size, so n values take O(log n) memory.

    Parameters: `delta` (probability, 0.002), `range` (width of the values' interval, in their unit, 1: right for shares
    and probabilities), `side` (`both`, `above`, `below`), `every` (observations between two looks, 32).
    False alarms: the bound is conservative; on 200,000 independent normal values with their own range of 6 deviations
    none was seen at 0.002. Values that depend on one another alarm more often.
    Use `page-hinkley` where the mean of everything so far is the reference, `bernoulli-cusum` for error rates (it is
    faster there), `cusum` where the reference must not adapt.
    Source: Bifet and Gavaldà (2007), Learning from Time-Changing Data with Adaptive Windowing, SDM.

    >>> from engine.detectors.contract import Observation
    >>> detector = Adwin(AdwinParams())
    >>> values = [0.2 + 0.1 * (i % 3) for i in range(500)] + [0.5 + 0.1 * (i % 3) for i in range(200)]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", value)) for i, value in enumerate(values)]
    >>> next(finding.event_ids for finding in found if finding)
    ('e543',)
    """

    method = "adwin"
    params_type = AdwinParams
    state_type = _State
    restarts = True

    def restored(self) -> None:
        rows = self.state.rows
        if len(rows) > ROWS_MAX or any(len(row) > BUCKETS_PER_ROW for row in rows):
            raise ValueError("more buckets than there can be")

    def see(self, value: float, observation: Observation) -> Finding | None:
        self._insert(_Bucket(value, 0.0))
        self.state.since += 1
        if self.state.since < self.params.every:
            return None
        self.state.since = 0
        cut = self._cut()
        if cut is None or self.params.side not in {"both", "above" if cut[1] > cut[0] else "below"}:
            return None
        old, new, bound = cut
        detail = f"the mean moved from {old:.4g} to {new:.4g}, by more than {bound:.3g}"
        return Finding(detail=detail, value=value, threshold=bound, event_ids=(observation.event_id,))

    def _insert(self, bucket: _Bucket) -> None:
        rows = self.state.rows
        for level in range(ROWS_MAX):
            if level == len(rows):
                rows.append([])
            row = rows[level]
            row.append(bucket)
            if len(row) <= BUCKETS_PER_ROW:
                return
            bucket = _merge(row.pop(0), row.pop(0), 1 << level)
        # The bucket that is older than all rows can hold is forgotten.

    def _cut(self) -> tuple[float, float, float] | None:
        """Drops old buckets while any cut shows two means; the first such cut's means and bound."""
        first = None
        while (cut := self._differing()) is not None:
            first = first or cut
            rows = self.state.rows
            rows[-1].pop(0)
            while rows and not rows[-1]:
                rows.pop()
        return first

    def _differing(self) -> tuple[float, float, float] | None:
        buckets = [(1 << level, each) for level, row in reversed(list(enumerate(self.state.rows))) for each in row]
        size = sum(count for count, _ in buckets)
        if size < 2 * SIDE_MIN:
            return None
        total = math.fsum(each.total for _, each in buckets)
        mean = total / size
        spread = sum(each.squares + count * (each.total / count - mean) ** 2 for count, each in buckets)
        variance, confidence = spread / size, math.log(2.0 * math.log(size) / self.params.delta)
        old_count, old_total = 0, 0.0
        for count, each in buckets:
            old_count, old_total = old_count + count, old_total + each.total
            new_count = size - old_count
            if old_count < SIDE_MIN:
                continue
            if new_count < SIDE_MIN:
                return None
            old, new = old_total / old_count, (total - old_total) / new_count
            scale = 1.0 / old_count + 1.0 / new_count
            bound = math.sqrt(2.0 * scale * variance * confidence) + self.params.range * scale * confidence * 2.0 / 3.0
            if abs(old - new) > bound:
                return old, new, bound
        return None

    def bytes_max(self) -> int:
        return 64 + ROWS_MAX * (3 + BUCKETS_PER_ROW * (1 + 2 * FLOAT_BYTES))


def _merge(one: _Bucket, other: _Bucket, count: int) -> _Bucket:
    """Two buckets of `count` values each as one: totals add, and so do squares about the common mean."""
    apart = (one.total - other.total) / count
    return _Bucket(one.total + other.total, one.squares + other.squares + count * apart * apart / 2.0)

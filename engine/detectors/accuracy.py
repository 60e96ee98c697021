"""`accuracy`: predictions and late labels to a finding, where too few agree; found by name in `table.py`."""

from hashlib import blake2b
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import State, StateDetector
from engine.model import Finding, Json

MARK_BYTES = 8
"""A hash of an id or an answer; two of 10,000 ids meet once in 370 billion keys."""


class AccuracyParams(Params, frozen=True):
    """`below`: share that agrees, 0 to 1; or `drop`: by how much less than in the first window; `window`: joined pairs.

    `pending_max`: predictions (or labels) that wait for the other half; the oldest goes first.
    """

    below: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    drop: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    window: Annotated[int, Meta(ge=10, le=20_000)] = 500
    pending_max: Annotated[int, Meta(ge=1, le=100_000)] = 10_000

    def __post_init__(self) -> None:
        if self.below is None and self.drop is None:
            raise ValueError("`accuracy` needs `below` (a share, e.g. 0.9) or `drop` (e.g. 0.05)")


class _State(State):
    waiting: dict[bytes, tuple[bool, bytes]] = {}
    agreed: bytes = b""
    first: float | None = None


class Accuracy(StateDetector[AccuracyParams]):
    """The share of the last `window` predictions that their labels confirm, < `below` or < the first share - `drop`.

    `of` is `{"id": …, "predicted": …}`, `{"id": …, "actual": …}`, or both halves in one event. Labels come hours or
    days later than predictions, in any order; the two are joined by `id`. Answers are compared as JSON, so 1 and "1"
    differ. The first full window is the yardstick of `drop`.

    Parameters: `below` (share), `drop` (share; at least one of the two), `window` (pairs, 500), `pending_max` (10,000).
    False alarms: the share of n pairs with accuracy a has the deviation sqrt(a (1 - a) / n): 1.3 points for 0.9 and
    500. Of 100 keys of 5,000 pairs, 63 came below a bound 2 deviations down, 11 below one of 3, 2 below one of 4.
    Use `psi` or `ks` on predictions and confidences where labels come too late or never.
    Source: the joined evaluation of delayed labels, Žliobaitė (2010), Change with delayed labeling, ICDM workshops.

    >>> from engine.detectors.contract import Observation
    >>> detector = Accuracy(AccuracyParams(below=0.8, window=50))
    >>> asked = [{"id": f"q{i}", "predicted": "cat"} for i in range(100)]
    >>> labels = [{"id": f"q{i}", "actual": "cat" if i < 60 else "dog"} for i in range(100)]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=of)) for i, of in enumerate(asked + labels)]
    >>> next(finding.detail for finding in found if finding)
    '39 of the last 50 predictions were right (78.0%)'
    """

    method = "accuracy"
    params_type = AccuracyParams
    state_type = _State
    needs_of = True

    def restored(self) -> None:
        state, params = self.state, self.params
        if len(state.agreed) > params.window or len(state.waiting) > params.pending_max:
            raise ValueError("more pairs or waiting ids than there can be")
        if any(len(mark) != MARK_BYTES or len(answer) != MARK_BYTES for mark, (_, answer) in state.waiting.items()):
            raise ValueError("a mark of another length")

    def update(self, observation: Observation) -> Finding | None:
        of = observation.of
        if not isinstance(of, dict) or not isinstance(of.get("id"), str | int):
            return None
        joined = None
        if "predicted" in of and "actual" in of:
            joined = _mark(of["predicted"]) == _mark(of["actual"])
        elif "predicted" in of or "actual" in of:
            late = "actual" in of
            joined = self._join(_mark(of["id"]), late=late, answer=_mark(of["actual" if late else "predicted"]))
        return None if joined is None else self._count(joined, observation.event_id)

    def _join(self, mark: bytes, *, late: bool, answer: bytes) -> bool | None:
        """Whether the two halves agree; None while this one waits for the other."""
        waiting = self.state.waiting
        other = waiting.pop(mark, None)
        if other is not None and other[0] != late:
            return bool(other[1] == answer)
        waiting[mark] = (late, answer)  # the newest of two halves of one kind counts
        if len(waiting) > self.params.pending_max:
            del waiting[next(iter(waiting))]
        return None

    def _count(self, agreed: bool, event_id: str) -> Finding | None:  # noqa: FBT001  # the outcome itself
        state, params = self.state, self.params
        state.agreed = state.agreed[-(params.window - 1) :] + (b"\x01" if agreed else b"\x00")
        if len(state.agreed) < params.window:
            return None
        right = state.agreed.count(1)
        share = right / params.window
        if state.first is None:
            state.first = share
        bounds = [params.below] if params.below is not None else []
        bounds += [state.first - params.drop] if params.drop is not None else []
        if share >= max(bounds):
            return None
        detail = f"{right} of the last {params.window} predictions were right ({share:.1%})"
        return Finding(detail=detail, value=share, threshold=max(bounds), event_ids=(event_id,))

    def bytes_max(self) -> int:
        return 64 + self.params.window + self.params.pending_max * (2 + MARK_BYTES + 1 + 1 + 2 + MARK_BYTES)


def _mark(value: Json) -> bytes:
    return blake2b(repr(value).encode("utf-8", "replace"), digest_size=MARK_BYTES).digest()

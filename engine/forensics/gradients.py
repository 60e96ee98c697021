"""Gradient norms per layer over the steps of a training run become a report: vanishing, exploding or sudden.

Norms are compared on a logarithmic scale with the run's own beginning (vanishing, exploding) and with the steps right
before (sudden), so that no absolute size has to be known.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from engine.forensics.report import EvidenceError, Mark, Report, make_report
from engine.forensics.tensors import Floats
from engine.model import Struct

VANISHING = 1e-3
"""A layer has vanished while its norm stays below this part of its median over the first steps."""
EXPLODING = 1e2
"""And exploded while it stays above this multiple."""
SUDDEN_Z = 8.0
"""A step is sudden at this many robust standard deviations of the logarithms of the steps before it."""
_BASE_STEPS = 20
_STAY_STEPS = 5
_WINDOW_STEPS = 50
_STEPS_MAX = 10_000_000
_LOG_SPREAD_MIN = 0.1  # a run as smooth as a formula still may change by a few per cent from step to step
_TINY = 1e-300


class Kind(StrEnum):
    """What went wrong with a layer's gradient."""

    NOT_FINITE = "not finite"
    EXPLODING = "exploding"
    VANISHING = "vanishing"
    SUDDEN = "sudden"


class Break(Struct, frozen=True):
    """Where it began: the layer, the kind, the place of the step, and by what factor the norm had changed there."""

    layer: str
    kind: Kind
    step: int
    factor: float | None


def examine_gradients(norms: Floats, layers: Sequence[str], *, subject: str, steps: Sequence[int] = ()) -> Report:
    """`norms` has one row per step and one column per layer; `steps` numbers the rows, which else count from 0.

    Raises EvidenceError where it has not, or where a norm is negative.
    """
    if norms.ndim != 2 or norms.shape[1] != len(layers) or not 0 < norms.shape[0] <= _STEPS_MAX:
        raise EvidenceError(f"{subject}: expected norms of (steps, {len(layers)} layers), got {list(norms.shape)}")
    if norms.shape[0] < _BASE_STEPS + _STAY_STEPS:
        raise EvidenceError(f"{subject}: {norms.shape[0]} steps are too few, take at least {_BASE_STEPS + _STAY_STEPS}")
    if steps and len(steps) != norms.shape[0]:
        raise EvidenceError(f"{subject}: {len(steps)} step numbers for {norms.shape[0]} rows")
    if (norms < 0).any():
        raise EvidenceError(f"{subject}: a norm is never negative")
    breaks = [each for column, layer in enumerate(layers) for each in find_breaks(norms[:, column], layer)]
    breaks.sort(key=lambda each: each.step)
    number = list(steps) or list(range(norms.shape[0]))
    marks = [
        Mark(
            where=f"layer {each.layer}, step {number[each.step]}",
            why=str(each.kind) + (f", {each.factor:.3g} times what it was" if each.factor is not None else ""),
            score=each.factor,
        )
        for each in breaks
    ]
    first = f"{marks[0].where}: {marks[0].why}" if marks else ""
    return make_report(
        "gradients",
        subject,
        found=bool(marks),
        summary=f"gradients broke first at {first}" if marks else f"gradients of {len(layers)} layers flow throughout",
        score=float(len(marks)),
        threshold=0.0,
        compared_with=f"the run's own first {_BASE_STEPS} steps, and the {_WINDOW_STEPS} steps before each",
        marks=marks,
        details={"steps": int(norms.shape[0]), "layers": len(layers)},
    )


def find_breaks(norms: Floats, layer: str) -> list[Break]:
    """The first break of each kind in one layer's norms."""
    found: list[Break] = []
    bad = np.flatnonzero(~np.isfinite(norms))
    if bad.size:
        found.append(Break(layer=layer, kind=Kind.NOT_FINITE, step=int(bad[0]), factor=None))
        norms = norms[: bad[0]]
    if len(norms) < _BASE_STEPS:
        return found
    base = max(float(np.median(norms[:_BASE_STEPS])), _TINY)
    for kind, beyond in ((Kind.EXPLODING, norms > EXPLODING * base), (Kind.VANISHING, norms < VANISHING * base)):
        start = _stays(beyond)
        if start is not None:
            found.append(Break(layer=layer, kind=kind, step=start, factor=float(norms[start]) / base))
    start = _sudden(np.log(np.maximum(norms, _TINY)))
    if start is not None:
        before = max(float(np.median(norms[max(0, start - _WINDOW_STEPS) : start])), _TINY)
        found.append(Break(layer=layer, kind=Kind.SUDDEN, step=start, factor=float(norms[start]) / before))
    return found


def _stays(beyond: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> int | None:
    """The first of `_STAY_STEPS` steps in a row."""
    length = 0
    for place, is_beyond in enumerate(beyond):
        length = length + 1 if is_beyond else 0
        if length == _STAY_STEPS:
            return place - _STAY_STEPS + 1
    return None


def _sudden(logs: Floats) -> int | None:
    for place in range(_BASE_STEPS, len(logs)):
        window = logs[max(0, place - _WINDOW_STEPS) : place]
        middle = np.median(window)
        spread = max(1.4826 * float(np.median(np.abs(window - middle))), _LOG_SPREAD_MIN)
        if abs(logs[place] - middle) > SUDDEN_Z * spread:
            return place
    return None

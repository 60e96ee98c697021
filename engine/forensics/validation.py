"""What a model says on a probe set becomes a report of whether it may serve: accuracy, fairness and drift in bounds.

The gate before a restored or retrained model goes on. The bounds are the operator's; a figure that can't be computed
for lack of an array is an error, never a pass.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from engine.forensics.bias import measure_bias
from engine.forensics.report import EvidenceError, Mark, Report, make_report
from engine.forensics.tensors import Floats, TensorFile
from engine.model import Json, Struct

ROWS_MIN = 20
"""Fewer samples say nothing."""
_BINS = 10


class Bounds(Struct, frozen=True):
    """What a model must keep to; None: it is not asked.

    `accuracy_min`: share of `decided` that equals `truth`. `fairness_max`: the larger of demographic parity and
    equalised odds difference over `groups`. `drift_max`: population stability index of `scores` against `reference`
    (0.1 is a small, 0.25 a large shift).
    """

    accuracy_min: Annotated[float, Meta(ge=0, le=1)] | None = None
    fairness_max: Annotated[float, Meta(ge=0, le=1)] | None = None
    drift_max: Annotated[float, Meta(ge=0)] | None = None

    @property
    def asked(self) -> bool:
        """Whether anything is asked at all."""
        return any(getattr(self, name) is not None for name in self.__struct_fields__)


def validate_probe(file: TensorFile, bounds: Bounds) -> Report:
    """A finding where any bound is not kept.

    Arrays: `truth` and `decided`, one class a sample; `groups` where fairness is asked, with classes 0 and 1; `scores`
    and `reference` (of any lengths) where drift is asked. Raises EvidenceError.
    """
    if not bounds.asked:
        raise EvidenceError("no bound is given: a gate that asks nothing lets everything through")
    marks: list[Mark] = []
    details: dict[str, Json] = {}

    def hold(name: str, value: float, bound: float, *, kept: bool) -> None:
        details[name] = {"value": float(f"{value:.6g}"), "bound": bound, "kept": kept}
        if not kept:
            marks.append(Mark(where=name, why=f"{value:.4g}, beyond the bound of {bound:g}", score=value))

    if bounds.accuracy_min is not None:
        accuracy = _accuracy(file)
        hold("accuracy", accuracy, bounds.accuracy_min, kept=accuracy >= bounds.accuracy_min)
    if bounds.fairness_max is not None:
        gaps = measure_bias(file.read("truth"), file.read("decided"), file.read("groups"))
        worst = max(gaps.demographic_parity, gaps.equalized_odds)
        hold("fairness", worst, bounds.fairness_max, kept=worst <= bounds.fairness_max)
    if bounds.drift_max is not None:
        drift = stability_index(_numbers(file, "reference"), _numbers(file, "scores"))
        hold("drift", drift, bounds.drift_max, kept=drift <= bounds.drift_max)
    return make_report(
        "validation",
        str(file.path),
        found=bool(marks),
        summary="; ".join(f"{each.where} {each.why}" for each in marks)
        if marks
        else f"{', '.join(details)} within bounds",
        score=float(len(marks)),
        threshold=0.0,
        compared_with=msgspec.json.encode(bounds).decode(),
        marks=marks,
        details=details,
    )


def stability_index(reference: Floats, now: Floats) -> float:
    """The population stability index over the deciles of the reference; 0 for the same distribution.

    Sum over bins of (p - q) ln(p / q), with half a sample added to each bin (Siddiqi, "Credit Risk Scorecards", 2006).

    >>> stability_index(np.arange(100.0), np.arange(100.0))
    0.0
    """
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, _BINS + 1)[1:-1]))
    shares = []
    for values in (now, reference):
        counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    p, q = shares
    return float(np.sum((p - q) * np.log(p / q)))


def _accuracy(file: TensorFile) -> float:
    truth, decided = file.read("truth"), file.read("decided")
    if truth.shape != decided.shape or truth.ndim != 1 or len(truth) < ROWS_MIN:
        raise EvidenceError(f"{file.path}: `truth` and `decided` must be one class a sample, of {ROWS_MIN} or more")
    return float(np.mean(truth == decided))  # NaN equals nothing, and so counts as wrong


def _numbers(file: TensorFile, name: str) -> Floats:
    values = file.floats(name).ravel()
    if len(values) < ROWS_MIN or not np.isfinite(values).all():
        raise EvidenceError(f"{file.path}: `{name}` must hold {ROWS_MIN} or more finite numbers")
    return values

"""What a model decided, the truth and a group per sample become a report of how unequally the groups are treated.

Demographic parity difference: the largest gap between groups in the rate of positive decisions. Equalised odds
difference: the larger of the gaps in the true-positive and in the false-positive rate (Hardt, Price and Srebro,
2016). Formulas as in fairlearn's `demographic_parity_difference` and `equalized_odds_difference`: a rate without a
sample counts as 0.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.forensics.neighbours import Ints
from engine.forensics.report import EvidenceError, Mark, Report, finite, make_report
from engine.forensics.tensors import Array, Floats
from engine.model import Json, Struct

DIFFERENCE_MAX = 0.1
_GROUPS_MAX = 1_000
_GROUP_MIN = 30


class Gaps(Struct, frozen=True):
    """The two differences, 0 to 1."""

    demographic_parity: float
    equalized_odds: float


def measure_bias(truth: Array, decided: Array, groups: Array) -> Gaps:
    """Both differences of 0/1 decisions. Raises EvidenceError where the inputs do not fit.

    >>> measure_bias(np.array([1, 0, 1, 0]), np.array([1, 1, 1, 0]), np.array(["a", "a", "b", "b"]))
    Gaps(demographic_parity=0.5, equalized_odds=1.0)
    """
    counts, _ = _count(truth, decided, groups)
    parity, odds = _gaps(counts[None].astype(np.float64))
    return Gaps(demographic_parity=float(parity[0]), equalized_odds=float(odds[0]))


def examine_bias(
    truth: Array,
    decided: Array,
    groups: Array,
    *,
    subject: str,
    difference_max: float = DIFFERENCE_MAX,
    resamples: int = 2_000,
) -> Report:
    """A finding where the lower end of the 95 % bootstrap interval of either difference exceeds `difference_max`.

    The largest gap among many small groups is large by chance; groups below 30 samples are marked. Raises
    EvidenceError.
    """
    counts, names = _count(truth, decided, groups)
    parity, odds = (float(each[0]) for each in _gaps(counts[None].astype(np.float64)))
    total = int(counts.sum())
    draws = np.random.default_rng(0).multinomial(total, counts.ravel() / total, size=resamples)
    drawn = _gaps(draws.reshape(resamples, *counts.shape).astype(np.float64))
    (parity_low, parity_high), (odds_low, odds_high) = (np.quantile(each, [0.025, 0.975]) for each in drawn)
    sizes = counts.sum(axis=(1, 2))
    score = max(float(parity_low), float(odds_low))
    marks = [
        Mark(where=f"group {name}", why=f"{size} samples are few: its rates are uncertain")
        for name, size in zip(names, sizes, strict=True)
        if size < _GROUP_MIN
    ]
    details: dict[str, Json] = {
        "demographic_parity": {"difference": parity, "low": float(parity_low), "high": float(parity_high)},
        "equalized_odds": {"difference": odds, "low": float(odds_low), "high": float(odds_high)},
        "groups": [_group(name, each) for name, each in zip(names, counts, strict=True)],
    }
    return make_report(
        "bias",
        subject,
        found=score > difference_max,
        summary=f"demographic parity differs by {parity:.3f} ({parity_low:.3f} to {parity_high:.3f}),"
        f" equalised odds by {odds:.3f} ({odds_low:.3f} to {odds_high:.3f})",
        score=score,
        threshold=difference_max,
        compared_with=f"{len(names)} groups with each other",
        marks=marks,
        details=details,
    )


def _count(truth: Array, decided: Array, groups: Array) -> tuple[Ints, list[str]]:
    """How many samples each (group, truth, decision) has, and the groups' names."""
    truth, decided, groups = truth.ravel(), decided.ravel(), groups.ravel()
    if not len(truth) == len(decided) == len(groups) or not len(truth):
        raise EvidenceError(
            f"{len(truth)} truths, {len(decided)} decisions and {len(groups)} groups do not fit together"
        )
    for each in (truth, decided):
        if each.dtype.kind not in "biuf" or not np.isin(each, (0, 1)).all():
            raise EvidenceError("truths and decisions must be 0 or 1")
    names, place = np.unique(groups, return_inverse=True)
    if len(names) > _GROUPS_MAX:
        raise EvidenceError(f"{len(names):,} groups are more than {_GROUPS_MAX:,}")
    counts = np.zeros((len(names), 2, 2), np.int64)
    np.add.at(counts, (place, truth.astype(np.int64), decided.astype(np.int64)), 1)
    return counts, [str(each) for each in names]


def _gaps(counts: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Differences of each table in (tables, groups, truth, decision); groups that drew no sample are left out."""
    there = counts.sum(axis=(2, 3)) > 0
    chosen = _rate(counts[..., 1].sum(axis=2), counts.sum(axis=(2, 3)))
    hits = _rate(counts[:, :, 1, 1], counts[:, :, 1].sum(axis=2))
    alarms = _rate(counts[:, :, 0, 1], counts[:, :, 0].sum(axis=2))
    odds: Floats = np.maximum(_spread(hits, there), _spread(alarms, there))
    return _spread(chosen, there), odds


def _rate(part: Floats, whole: Floats) -> Floats:
    rates: Floats = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return rates


def _spread(rates: Floats, there: npt.NDArray[Any]) -> Floats:
    gaps: Floats = np.where(there, rates, -np.inf).max(axis=1) - np.where(there, rates, np.inf).min(axis=1)
    return gaps


def _group(name: str, counts: Ints) -> Json:
    table = counts.astype(np.float64)
    return {
        "name": name,
        "samples": int(counts.sum()),
        "selection_rate": finite(float(_rate(table[:, 1].sum(), table.sum()))),
        "true_positive_rate": finite(float(_rate(table[1, 1], table[1].sum()))),
        "false_positive_rate": finite(float(_rate(table[0, 1], table[0].sum()))),
    }

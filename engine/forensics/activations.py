"""Activations of a clean and of a suspect set of inputs become a report of the layers that behave otherwise.

Per layer: the share of suspect rows farther from the clean ones (Mahalanobis) than honest rows are; units that are
dead on the suspect set but live on the clean one; and, with labels, how far each class falls into two (as the split
of `engine.forensics.poisoning`). The layer named `logits` also gives the shift of the mean answer on a probe set.
"""

from collections.abc import Mapping

import numpy as np

from engine.forensics.adversarial import mahalanobis_scores, mahalanobis_threshold
from engine.forensics.neighbours import Ints, check_points
from engine.forensics.poisoning import find_backdoors
from engine.forensics.report import EvidenceError, Mark, Report, finite, make_report
from engine.forensics.tensors import Floats
from engine.model import Json, Struct

FAR_SHARE_MAX = 0.05
"""Honest rows lie beyond the 99 % quantile in 1 % of cases."""
_ROWS_MIN = 20


class Layer(Struct, frozen=True):
    """What was measured of one layer. `far_share`: suspect rows beyond the clean quantile. `shift`: distance of means,
    in clean standard deviations (root of the mean square over units). `dead`: units gone silent. `split`: classes in
    two.
    """

    name: str
    far_share: float
    shift: float
    dead: tuple[int, ...]
    split: tuple[int, ...] = ()


def compare_activations(
    clean: Mapping[str, Floats],
    suspect: Mapping[str, Floats],
    *,
    subject: str,
    compared_with: str,
    suspect_labels: Ints | None = None,
    share_max: float = FAR_SHARE_MAX,
) -> Report:
    """The layers whose activations differ: one array of (rows, units) per name. Raises EvidenceError."""
    names = [name for name in clean if name in suspect]
    if not names:
        raise EvidenceError(f"{subject} has no layer of {compared_with}: {', '.join(list(clean)[:20])}")
    layers = [_measure(name, clean[name], suspect[name], suspect_labels) for name in names]
    worst = max(layers, key=lambda each: each.far_share)
    marks = [
        Mark(where=each.name, why=f"{each.far_share:.0%} of the rows lie off the clean ones", score=each.far_share)
        for each in sorted(layers, key=lambda each: -each.far_share)
        if each.far_share > share_max
    ]
    marks += [
        Mark(where=each.name, why=f"{len(each.dead)} units went silent, first {each.dead[0]}")
        for each in layers
        if each.dead
    ]
    marks += [Mark(where=each.name, why=f"class {label} falls into two") for each in layers for label in each.split]
    return make_report(
        "activations",
        subject,
        found=worst.far_share > share_max or any(each.split for each in layers),
        summary=f"{worst.far_share:.1%} of the rows lie off the clean ones in layer {worst.name}, the most of all",
        score=worst.far_share,
        threshold=share_max,
        compared_with=compared_with,
        marks=marks,
        details={"layers": [_json(each) for each in layers]},
    )


def _measure(name: str, clean: Floats, suspect: Floats, labels: Ints | None) -> Layer:
    clean, nobody = check_points(clean, np.zeros(len(clean), np.int64), f"clean layer {name}")
    suspect, zeros = check_points(suspect, np.zeros(len(suspect), np.int64), f"suspect layer {name}")
    if clean.shape[1] != suspect.shape[1]:
        raise EvidenceError(
            f"layer {name} has {clean.shape[1]} units in the clean set, {suspect.shape[1]} in the suspect"
        )
    if len(clean) < _ROWS_MIN:
        raise EvidenceError(f"layer {name}: {len(clean)} clean rows are too few, take at least {_ROWS_MIN}")
    far = mahalanobis_threshold(clean, nobody)
    share = float(np.mean(mahalanobis_scores(clean, nobody, suspect, zeros) > far))
    live = clean.std(axis=0)
    moved = (suspect.mean(axis=0) - clean.mean(axis=0))[live > 0] / live[live > 0]
    dead = np.flatnonzero((live > 0) & (np.abs(suspect).max(axis=0) == 0))
    split: tuple[int, ...] = ()
    if labels is not None:
        suspect, labels = check_points(suspect, labels, f"suspect layer {name}")
        split = tuple(each.label for each in find_backdoors(suspect, labels) if each.poisoned)
    return Layer(
        name=name,
        far_share=share,
        shift=float(np.sqrt(np.mean(moved**2))) if moved.size else 0.0,
        dead=tuple(int(each) for each in dead),
        split=split,
    )


def _json(layer: Layer) -> Json:
    return {
        "name": layer.name,
        "far_share": finite(layer.far_share),
        "shift": finite(layer.shift),
        "dead": len(layer.dead),
        "split": list(layer.split),
    }

"""A training set becomes a report of the samples that look poisoned, with what the trigger of a backdoor seems to be.

Two techniques, since they see different things:

* *kNN disagreement* finds single samples whose neighbours carry other labels: flipped labels and rare poison.
* *Spectral signatures* (Tran et al., 2018) find a class that is made of two: its centred features are split along their
  first singular direction. Which part is poison is not told by its size, since at high rates poison is the majority.
  It is told by the trigger: shifted by one constant vector, the poisoned part falls onto samples of *other* classes
  as closely as those lie to each other, because that is what they were before; the honest part does not. The vector
  is the trigger's estimate (found by iterating: nearest neighbour, median difference).
"""

import msgspec
import numpy as np

from engine.forensics.neighbours import Ints, check_points, disagreement, nearest
from engine.forensics.report import Mark, Report, finite, make_report
from engine.forensics.tensors import Floats
from engine.model import Json, Struct

DISAGREEMENT_MIN = 0.8
SHIFTED_MAX = 1.02
"""Distance of a shifted part to other classes, over the distance within it, up to which it counts as theirs."""
CONTRAST_MIN = 0.25
"""By how much farther the other part must lie."""
SEPARATION_MIN = 0.66
"""Variance along the first direction that the split explains. A Gaussian gives 0.64, a uniform 0.75, two points 1."""
SHIFTED_FAR_MAX = 1.3
SEPARATION_CLEAR_MIN = 0.86
"""A class that falls apart as clearly as this may be shifted as far as that: blended triggers blur what they cover."""
SHARE_MAX = 0.02
"""A finding where more of the samples than this are suspect; any backdoored class is one by itself."""
_BACKDOORS_MAX = 5
_CLASS_MIN = 20
_PART_MIN = 8
_STEPS_MAX = 10
_SAMPLE_MAX = 4_000


class Split(Struct, frozen=True):
    """How one class falls apart: the explained variance, both parts' shifted distance, the poisoned samples."""

    label: int
    separation: float
    shifted: tuple[float, float]
    poisoned: tuple[int, ...]
    trigger: tuple[int, ...]
    """The features that the trigger changes most."""


def examine_poison(
    features: Floats, labels: Ints, *, subject: str, k: int = 10, share_max: float = SHARE_MAX
) -> tuple[Report, list[int]]:
    """The report, and the places of all suspect samples in order: what to leave out when training anew.

    Features are inputs, or activations of a trusted model; one row per sample. Raises EvidenceError.
    """
    features, labels = check_points(features, labels, subject)
    found, _ = nearest(features, features, k, same=True)
    shares = disagreement(found, labels, labels)
    kept = find_backdoors(features, labels)
    why = {int(place): f"{shares[place]:.0%} of its neighbours carry another label" for place in _above(shares)}
    for each in kept:
        for place in each.poisoned:
            why[place] = f"in the part of class {each.label} that carries a trigger"
    suspects = sorted(why)
    backdoors = [each for each in kept if each.poisoned]
    share = len(suspects) / len(labels)
    marks = [
        Mark(where=f"class {each.label}", why=f"{len(each.poisoned)} samples share a trigger", score=each.separation)
        for each in backdoors
    ]
    marks += [Mark(where=f"sample {place}", why=why[place], score=float(shares[place])) for place in suspects]
    told = f"; class {backdoors[0].label} seems to be the target of a backdoor" if backdoors else ""
    report = make_report(
        "poison",
        subject,
        found=bool(backdoors) or share > share_max,
        summary=f"{len(suspects)} of {len(labels)} samples are suspect{told}",
        score=share,
        threshold=share_max,
        compared_with=f"their {k} nearest neighbours, and the other classes",
        marks=marks,
        details={"suspects": len(suspects), "classes": [_json(each) for each in kept]},
    )
    return report, suspects


def find_backdoors(features: Floats, labels: Ints) -> list[Split]:
    """How each class falls apart, the backdoored ones first.

    The clearest is taken first and its poison put aside before the others are looked at again: an honest class would
    otherwise be shifted, trigger and all, onto its own poisoned copies.
    """
    left = np.arange(len(labels))
    backdoors: list[Split] = []
    while True:
        splits = [split_class(features[left], labels[left], int(each)) for each in np.unique(labels[left])]
        kept = [each for each in splits if each is not None]
        found = [each for each in kept if each.poisoned and each.label not in {done.label for done in backdoors}]
        if not found or len(backdoors) >= _BACKDOORS_MAX:
            return [*backdoors, *[each for each in kept if each.label not in {done.label for done in backdoors}]]
        clearest = max(found, key=_clearness)
        poisoned = left[list(clearest.poisoned)]
        backdoors.append(msgspec.structs.replace(clearest, poisoned=tuple(int(each) for each in poisoned)))
        left = np.setdiff1d(left, poisoned)


def spectral_signatures(features: Floats, labels: Ints) -> Floats:
    """Each sample's squared projection on the first singular direction of its class's centred features."""
    scores = np.zeros(len(labels))
    for each in np.unique(labels):
        mine = labels == each
        scores[mine] = _projection(features[mine]) ** 2
    return scores


def split_class(features: Floats, labels: Ints, label: int) -> Split | None:
    """How a class falls apart; None where it is too small to say."""
    places = np.flatnonzero(labels == label)
    mine, others = features[places], features[labels != label]
    if len(places) < _CLASS_MIN or len(others) < _CLASS_MIN:
        return None
    upper, separation = _two_parts(_projection(mine))
    if min(np.count_nonzero(upper), np.count_nonzero(~upper)) < _PART_MIN:
        return Split(label=label, separation=separation, shifted=(0.0, 0.0), poisoned=(), trigger=())
    others = _sample(others)
    (near_a, shift_a), (near_b, shift_b) = (_shifted(mine[part], others) for part in (upper, ~upper))
    low = min(near_a, near_b)
    hidden = separation >= SEPARATION_MIN and low <= SHIFTED_MAX and abs(near_a - near_b) >= CONTRAST_MIN
    if not hidden and not (separation >= SEPARATION_CLEAR_MIN and low <= SHIFTED_FAR_MAX):
        return Split(label=label, separation=separation, shifted=(near_a, near_b), poisoned=(), trigger=())
    part, shift = (upper, shift_a) if near_a <= near_b else (~upper, shift_b)
    strongest = np.argsort(-np.abs(shift), kind="stable")[:8]
    return Split(
        label=label,
        separation=separation,
        shifted=(near_a, near_b),
        poisoned=tuple(int(each) for each in places[part]),
        trigger=tuple(int(each) for each in strongest if abs(shift[each]) > 0.1 * abs(shift[strongest[0]])),
    )


def _clearness(split: Split) -> float:
    return split.separation + abs(split.shifted[0] - split.shifted[1]) / 2


def _projection(points: Floats) -> Floats:
    centred = points - points.mean(axis=0)
    # The Gram matrix of the smaller side gives the same direction as the full decomposition.
    if centred.shape[0] >= centred.shape[1]:
        direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        along: Floats = centred @ direction
    else:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        along = vectors[:, -1] * np.sqrt(max(0.0, float(values[-1])))
    return along


def _two_parts(along: Floats) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.bool_]], float]:
    """The best split of numbers into two (Otsu's, 1979), and the share of their variance that it explains."""
    ordered = np.sort(along)
    count = len(ordered)
    below = np.arange(1, count)
    sums = np.cumsum(ordered)
    gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / (count - below)
    between = below * (count - below) / count**2 * gap**2
    best = int(between.argmax())
    variance = float(along.var())
    cut = (ordered[best] + ordered[best + 1]) / 2
    return along > cut, float(between[best] / variance) if variance > 0 else 0.0


def _shifted(part: Floats, others: Floats) -> tuple[float, Floats]:
    """How near the part comes to other classes by one shift, over how near it comes to itself, and that shift."""
    part = _sample(part)
    usual = max(float(np.median(nearest(part, part, 1, same=True)[1])), 1e-12)
    shift = np.zeros(part.shape[1])
    for _ in range(_STEPS_MAX):
        found, _ = nearest(part - shift, others, 1)
        better = np.median(part - others[found[:, 0]], axis=0)
        if np.allclose(better, shift):
            break
        shift = better
    _, distances = nearest(part - shift, others, 1)
    return float(np.median(distances)) / usual, shift


def _sample(points: Floats) -> Floats:
    if len(points) <= _SAMPLE_MAX:
        return points
    return points[np.sort(np.random.default_rng(0).choice(len(points), _SAMPLE_MAX, replace=False))]


def _above(shares: Floats) -> list[int]:
    return [int(each) for each in np.flatnonzero(shares >= DISAGREEMENT_MIN)]


def _json(split: Split) -> Json:
    return {
        "label": split.label,
        "separation": finite(split.separation),
        "shifted": [finite(each) for each in split.shifted],
        "poisoned": len(split.poisoned),
        "trigger_features": list(split.trigger),
    }

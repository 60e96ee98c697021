"""Two checkpoints of one model become a report: which tensors and class changed, and whether it looks like a backdoor.

An honest fine-tune nudges a layer in many directions at once. A backdoor teaches one rule, "this trigger means that
class", so the change of the layers before the last is dominated by a single direction, and the output weights of one
class change far more than those of its siblings. Measured by the share of the change's energy in its first singular
direction (the inverse of its stable rank) and by a robust z-score of the per-class column norms. Compare Tran et al.,
"Spectral Signatures" (2018), and Wang et al., "Neural Cleanse" (2019), for the outlying class.

A low-rank fine-tune (LoRA) is of low rank by construction: the share says nothing about its tensors.
"""

import numpy as np

from engine.forensics.report import EvidenceError, Mark, Report, finite, make_report
from engine.forensics.tensors import Floats, TensorFile, not_finite
from engine.model import Json, Struct

DIRECTION_SHARE_MAX = 0.5
"""More of a layer's change than this in one direction is a finding; docs/forensics.md says what it was measured on."""
CLASS_Z_MIN = 3.5
"""A class is named where the robust z-score of its column reaches this (Iglewicz and Hoaglin, 1993)."""
_SAME = 1e-12
_CLASSES_MAX = 10_000
_POWER_STEPS = 30
_POWER_WIDTH = 4
_EXACT_SIDE_MAX = 512
_SMALL_SIDE_MIN = 4  # of a matrix with fewer rows or columns, one direction always has a large share


class TensorChange(Struct, frozen=True):
    """How one tensor changed. `relative`: norm of the change over norm before. `spectral`: largest singular value of
    the change over the norm before. `direction_share`: its energy share; `stable_rank`: the inverse.
    None: does not apply.
    """

    name: str
    shape: tuple[int, ...]
    relative: float | None
    spectral: float | None = None
    direction_share: float | None = None
    stable_rank: float | None = None


def compare_weights(
    before: TensorFile, after: TensorFile, *, output: str = "", share_max: float = DIRECTION_SHARE_MAX
) -> Report:
    """What changed from one checkpoint to the other, layer by layer.

    `output` names the weights of the last layer; without it, it is the last matrix of the file. Reads one pair of
    tensors at a time. Missing, added and reshaped tensors and values that are not finite are findings by themselves.
    Raises EvidenceError where there is nothing to compare.
    """
    marks = _structure(before, after)
    changes: list[TensorChange] = []
    last = output or _output(after)
    if output and output not in after:
        raise EvidenceError(f"{after.path} has no tensor `{output}`")
    columns: Floats | None = None
    for name, info in before.infos.items():
        if name not in after or after.infos[name].shape != info.shape:
            continue
        old, new = before.read(name), after.read(name)
        if old.dtype.kind not in "f" or new.dtype.kind not in "f":
            continue  # counters and masks
        bad = not_finite(new)
        if bad or not_finite(old):
            marks.append(Mark(where=name, why=f"{bad} values after and {not_finite(old)} before are NaN or infinite"))
            continue
        delta = new.astype(np.float64) - old.astype(np.float64)
        changes.append(_measure(name, delta, float(np.linalg.norm(old.astype(np.float64)))))
        if name == last:
            columns = _column_norms(delta)
    if not changes and not marks:
        raise EvidenceError(f"{before.path} and {after.path} have no tensor of real numbers in common")
    return _judge(before, after, changes, marks, last, columns, share_max)


def _judge(
    before: TensorFile,
    after: TensorFile,
    changes: list[TensorChange],
    marks: list[Mark],
    last: str,
    columns: Floats | None,
    share_max: float,
) -> Report:
    shares = [each for each in changes if each.direction_share is not None]
    # The last layer's change is of low rank in any fine-tune on few classes; it counts only where there is no other.
    inner = [each for each in shares if each.name != last] or shares
    worst = max(inner, key=lambda each: each.direction_share or 0.0, default=None)
    score = worst.direction_share if worst else None
    scores = robust_z(columns) if columns is not None else np.empty(0)
    suspect = int(scores.argmax()) if scores.size else -1
    broken = bool(marks)
    concentrated = worst is not None and score is not None and score > share_max
    if worst is not None and concentrated:
        marks.append(Mark(where=worst.name, why=f"{score:.0%} of its change is in one direction", score=score))
    if scores.size and scores[suspect] >= CLASS_Z_MIN:
        why = "its output weights changed far more than those of the other classes"
        marks.append(Mark(where=f"class {suspect}", why=why, score=float(scores[suspect])))
    if broken:
        summary = f"{len(marks)} differences, first: {marks[0].where} ({marks[0].why})"
    elif concentrated:
        towards = f" towards class {suspect}" if scores.size and scores[suspect] >= CLASS_Z_MIN else ""
        summary = f"the change looks like one rule was taught{towards}, as a backdoor is: {marks[0].where}"
    else:
        summary = "the change is spread as in an honest fine-tune" if score is not None else "no matrix changed"
    details: dict[str, Json] = {
        "tensors": [
            {"name": each.name, "shape": list(each.shape), "relative": each.relative, "spectral": each.spectral,
             "direction_share": each.direction_share, "stable_rank": each.stable_rank}
            for each in changes
        ],
        "output": last,
        "class_z": [finite(float(each)) for each in scores],
    }  # fmt: skip
    return make_report(
        "weights",
        str(after.path),
        found=broken or concentrated,
        summary=summary,
        score=score,
        threshold=share_max,
        compared_with=str(before.path),
        marks=marks,
        details=details,
    )


def robust_z(values: Floats) -> Floats:
    """(value - median) / (1.4826 * median absolute deviation): how far each stands out from its siblings.

    >>> robust_z(np.array([1.0, 1.1, 0.9, 1.0, 1.05, 9.0])).argmax()
    np.int64(5)
    """
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    floor = _SAME + 1e-9 * abs(middle)
    scores: Floats = (values - middle) / max(spread, floor)
    return scores


def largest_singular(matrix: Floats) -> float:
    """The spectral norm: exact for small matrices, else by subspace iteration (Halko et al., 2011)."""
    if min(matrix.shape) <= _EXACT_SIDE_MAX:
        gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        return float(np.sqrt(max(0.0, np.linalg.eigvalsh(gram)[-1])))
    basis = np.linalg.qr(matrix @ np.random.default_rng(0).normal(size=(matrix.shape[1], _POWER_WIDTH)))[0]
    for _ in range(_POWER_STEPS):
        basis = np.linalg.qr(matrix @ (matrix.T @ basis))[0]
    return float(np.linalg.norm(basis.T @ matrix, 2))


def _measure(name: str, delta: Floats, norm_before: float) -> TensorChange:
    norm = float(np.linalg.norm(delta))
    relative = finite(norm / norm_before) if norm_before > 0 else None
    if delta.ndim < 2 or norm <= _SAME * max(norm_before, 1.0):
        return TensorChange(name=name, shape=delta.shape, relative=relative)
    matrix = delta.reshape(delta.shape[0], -1)
    first = largest_singular(matrix)
    share = min(1.0, first * first / (norm * norm))
    return TensorChange(
        name=name,
        shape=delta.shape,
        relative=relative,
        spectral=finite(first / norm_before) if norm_before > 0 else None,
        direction_share=finite(share) if min(matrix.shape) >= _SMALL_SIDE_MIN else None,
        stable_rank=finite(1.0 / share),
    )


def _structure(before: TensorFile, after: TensorFile) -> list[Mark]:
    marks = [Mark(where=name, why="missing after") for name in before.infos if name not in after]
    marks += [Mark(where=name, why="added after") for name in after.infos if name not in before]
    for name, info in before.infos.items():
        if name in after and after.infos[name].shape != info.shape:
            marks.append(Mark(where=name, why=f"shape {list(info.shape)} became {list(after.infos[name].shape)}"))
    return marks


def _output(file: TensorFile) -> str:
    """The last matrix by its place in the file."""
    return next((name for name, each in reversed(file.infos.items()) if len(each.shape) == 2), "")


def _column_norms(delta: Floats) -> Floats | None:
    """Norm of the change per class: the smaller side of the last matrix is that of the classes."""
    if delta.ndim != 2 or not 3 <= min(delta.shape) <= _CLASSES_MAX:
        return None
    norms: Floats = np.linalg.norm(delta, axis=0 if delta.shape[1] <= delta.shape[0] else 1)
    return norms

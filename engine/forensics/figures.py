"""A report, and the evidence where that shows more, to a figure: data for a drawing, in the units of the technique.

`halon forensics … --plot` draws it (`engine.cli.plotting`); nothing here draws.
"""

from pathlib import Path

import numpy as np

from engine.forensics.report import EvidenceError, Report
from engine.forensics.samples import read_features
from engine.forensics.tensors import Floats, TensorFile
from engine.model import Struct

BARS_MAX = 30
POINTS_MAX = 5_000


class Bars(Struct, frozen=True, tag="bars"):
    """One bar for each mark with a score, the highest first; `threshold` is in the same unit."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    threshold: float | None = None


class Lines(Struct, frozen=True, tag="lines"):
    """A curve for each name over common places, on a logarithmic scale; `marked` are places that stand out."""

    places: tuple[float, ...]
    curves: dict[str, tuple[float, ...]]
    marked: tuple[float, ...] = ()


class Points(Struct, frozen=True, tag="points"):
    """Samples on their first two principal axes; the marked ones stand out."""

    places: tuple[tuple[float, float], ...]
    marked: tuple[bool, ...]


class Histograms(Struct, frozen=True, tag="histograms"):
    """Values of several groups."""

    groups: dict[str, tuple[float, ...]]


Figure = Bars | Lines | Points | Histograms


def bars(report: Report) -> Bars:
    """The marks that have a score. Raises EvidenceError where none has: then there is nothing to draw."""
    scored = sorted(
        ((each.score, each.where) for each in report.marks if each.score is not None), key=lambda each: -each[0]
    )[:BARS_MAX]
    if not scored:
        if report.score is None:
            raise EvidenceError(f"there is nothing to draw: {report.summary}")
        scored = [(report.score, report.technique)]
    return Bars(
        names=tuple(where for _, where in scored),
        values=tuple(score for score, _ in scored),
        threshold=report.threshold if len(scored) == 1 or report.technique in {"weights", "activations"} else None,
    )


def gradient_lines(norms: Path, report: Report) -> Lines:
    """Norms of each layer over the steps, with the steps where something broke. Raises EvidenceError."""
    file = TensorFile(norms)
    curves = {name: tuple(file.floats(name).ravel().tolist()) for name in file.infos if name != "steps"}
    length = min(map(len, curves.values()), default=0)
    steps = file.floats("steps").ravel().tolist() if "steps" in file else list(map(float, range(length)))
    marked = [float(each.where.rpartition("step ")[2]) for each in report.marks if "step " in each.where]
    return Lines(places=tuple(steps[:length]), curves=curves, marked=tuple(marked))


def sample_points(data: Path, suspects: tuple[int, ...], features: str = "") -> Points:
    """The samples of a set on their first two principal axes, the suspects marked. Raises EvidenceError."""
    rows = read_features(TensorFile(data), features)
    flat: Floats = rows.reshape(len(rows), -1)
    kept = np.arange(len(flat))
    if len(kept) > POINTS_MAX:
        wanted = np.array(suspects[: POINTS_MAX // 2], dtype=np.int64)
        others = np.setdiff1d(kept, wanted)
        drawn = np.random.default_rng(0).choice(others, POINTS_MAX - len(wanted), replace=False)
        kept = np.sort(np.concatenate([wanted, drawn]))
    centred = flat[kept] - flat[kept].mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    places = centred @ axes[:2].T
    if places.shape[1] < 2:
        places = np.hstack([places, np.zeros((len(places), 1))])
    marked = set(suspects)
    return Points(
        places=tuple((float(x), float(y)) for x, y in places), marked=tuple(int(place) in marked for place in kept)
    )


def loss_histograms(losses: Path) -> Histograms:
    """Losses of members and strangers. Raises EvidenceError."""
    file = TensorFile(losses)
    return Histograms({name: tuple(file.floats(name).ravel().tolist()) for name in ("members", "strangers")})

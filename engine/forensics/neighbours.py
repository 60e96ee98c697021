"""Points become their nearest neighbours, by brute force in bounded pieces."""

import numpy as np
import numpy.typing as npt

from engine.forensics.report import EvidenceError
from engine.forensics.tensors import Floats

Ints = npt.NDArray[np.int64]

PAIRS_MAX = 10_000_000_000
"""Distances that one search computes at most: 100,000 points against as many, minutes on one core."""
_PIECE_CELLS = 4_000_000


def nearest(queries: Floats, pool: Floats, k: int, *, same: bool = False) -> tuple[Ints, Floats]:
    """Indices into `pool` of the k nearest to each query, nearest first, and their Euclidean distances.

    `same`: queries and pool are one, and no point is its own neighbour. Raises EvidenceError where there are too few.
    """
    if queries.shape[0] * pool.shape[0] > PAIRS_MAX:
        raise EvidenceError(f"{queries.shape[0]:,} times {pool.shape[0]:,} points are too many; take a sample of them")
    if pool.shape[0] - same < k:
        raise EvidenceError(f"{pool.shape[0]} points are too few for {k} neighbours")
    squares = np.einsum("ij,ij->i", pool, pool)
    rows = max(1, _PIECE_CELLS // max(1, pool.shape[0]))
    places, distances = [], []
    for start in range(0, queries.shape[0], rows):
        piece = queries[start : start + rows]
        cells = np.maximum(np.einsum("ij,ij->i", piece, piece)[:, None] + squares - 2.0 * (piece @ pool.T), 0.0)
        if same:
            own = np.arange(piece.shape[0])
            cells[own, start + own] = np.inf
        found = cells.argmin(axis=1)[:, None] if k == 1 else np.argpartition(cells, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(cells, found, axis=1), axis=1, kind="stable")
        found = np.take_along_axis(found, order, axis=1)
        places.append(found.astype(np.int64))
        distances.append(np.sqrt(np.take_along_axis(cells, found, axis=1)))
    if not places:
        return np.empty((0, k), np.int64), np.empty((0, k))
    return np.concatenate(places), np.concatenate(distances)


def disagreement(found: Ints, pool_labels: Ints, labels: Ints) -> Floats:
    """The share of each point's neighbours that carry another label than it does."""
    shares: Floats = np.mean(pool_labels[found] != labels[:, None], axis=1)
    return shares


def check_points(features: Floats, labels: Ints, what: str) -> tuple[Floats, Ints]:
    """Features as one finite row per sample, and labels of the same number. Raises EvidenceError."""
    if features.ndim < 2 or labels.ndim != 1 or features.shape[0] != labels.shape[0]:
        raise EvidenceError(
            f"{what}: features {list(features.shape)} and labels {list(labels.shape)} do not fit together"
        )
    if not features.shape[0] or not np.isfinite(features).all():
        raise EvidenceError(f"{what}: there are no features, or some are NaN or infinite")
    return features.reshape(features.shape[0], -1), labels

"""Nearest neighbours by brute force."""

import numpy as np
import pytest

from engine.forensics import neighbours
from engine.forensics.report import EvidenceError


@pytest.mark.parametrize("k", [1, 7])
def test_they_equal_sorting_all_distances(monkeypatch, k):
    """In pieces or not, with itself left out."""
    monkeypatch.setattr(neighbours, "_PIECE_CELLS", 300)
    points = np.random.default_rng(0).normal(size=(60, 5))
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    places, found = neighbours.nearest(points, points, k, same=True)
    np.testing.assert_array_equal(places, np.argsort(distances, axis=1)[:, :k])
    np.testing.assert_allclose(found, np.sort(distances, axis=1)[:, :k], atol=1e-7)


def test_more_work_than_the_limit_is_refused():
    """A search of hours is an error at once; so are fewer points than neighbours."""
    many = np.broadcast_to(np.zeros(1), (200_000, 1))
    with pytest.raises(EvidenceError, match="too many"):
        neighbours.nearest(many, many, 1)
    with pytest.raises(EvidenceError, match="too few"):
        neighbours.nearest(np.ones((3, 1)), np.ones((3, 1)), 3, same=True)

"""engine/detectors/mahalanobis.py: vectors outside of a cloud."""

import numpy as np

from engine.detectors.mahalanobis import Mahalanobis, MahalanobisParams
from tests.support.detecting import observe

RNG = np.random.default_rng(17)
MIX = RNG.normal(0.0, 1.0, (8, 8))
CLOUD = (RNG.normal(0.0, 1.0, (2_000, 8)) @ MIX).tolist()


def found(detector, queries):
    return [place for place, of in enumerate(queries) if detector.update(observe(place, of=of)) is not None]


def test_what_no_single_number_shows_is_found_as_a_whole():
    """Each number is usual by itself; against the correlations the vector is far out."""
    vectors = np.array(CLOUD)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    odd = (axes[:, 0] * np.sqrt(values[0]) * 15).tolist()
    assert max(abs(np.array(odd)) / vectors.std(axis=0)) < 3.0
    assert found(Mahalanobis(MahalanobisParams(shrink=0.0)), [*CLOUD, odd]) == [2_000]


def test_an_answer_that_does_not_fit_its_vector_is_found():
    """With labels, a vector is held against the mean of what the model calls it."""
    cats = [{"vector": [*vector], "label": "cat"} for vector in RNG.normal(0.0, 1.0, (500, 4)).tolist()]
    dogs = [{"vector": [*vector], "label": "dog"} for vector in RNG.normal(9.0, 1.0, (500, 4)).tolist()]
    detector = Mahalanobis(MahalanobisParams())
    assert found(detector, [*cats, *dogs, {"vector": [9.0] * 4, "label": "dog"}]) == []
    assert detector.update(observe(0, of={"vector": [9.0] * 4, "label": "cat"})) is not None
    assert detector.update(observe(0, of={"vector": [9.0] * 4, "label": "bird"})) is None


def test_numbers_that_never_vary_do_no_harm():
    """A constant or doubled dimension neither divides by zero nor hides the others."""
    flat = [[value, value, 5.0] for value in RNG.normal(0.0, 1.0, 1_000).tolist()]
    assert found(Mahalanobis(MahalanobisParams()), [*flat, [0.0, 0.0, 5.0], [40.0, 40.0, 5.0]]) == [1_001]


def test_vectors_of_another_length_are_left_out():
    """Neither learnt nor judged."""
    detector = Mahalanobis(MahalanobisParams(reference=20, dimensions_max=4))
    queries = [[float(place % 5), 1.0] for place in range(20)]
    assert found(detector, [[1.0] * 5, *queries, [99.0], [99.0] * 3]) == []
    assert detector.state.learnt == 20

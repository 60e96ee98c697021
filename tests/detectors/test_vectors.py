"""engine/detectors/vectors.py, clouded.py: vectors and the cloud that they make."""

import numpy as np
import pytest

from engine.detectors.vectors import Cloud, CloudState, Query, as_query, pack, unpack


@pytest.mark.parametrize(
    "of", [None, 1.0, "x", [], ["a"], [True], [float("nan")], [1.0] * 300, [2**2_000], {"vector": 1}, {}, [[1.0]]]
)
def test_what_is_no_list_of_finite_numbers_is_no_vector(of):
    """Texts, bools, nested lists, nothing, too many, too large and non-finite numbers."""
    assert as_query(of) is None


def test_a_vector_may_come_with_its_label():
    """Alone, or as a field beside the label and a mark for out of distribution."""
    assert as_query([1, 2.5]).vector.tolist() == [1.0, 2.5]
    query = as_query({"vector": [1e300, 0], "label": 7, "odd": True})
    assert (query.vector.tolist(), query.label, query.odd) == ([1e12, 0.0], "7", True)


def test_a_cloud_has_the_means_and_the_covariance_of_its_labels():
    """The sums agree with numpy on the same vectors, far away from zero too."""
    rng = np.random.default_rng(3)
    ones, others = rng.normal(1e6, 1.0, (300, 3)), rng.normal(-1e6, 2.0, (200, 3))
    cloud = Cloud(CloudState(), labels_max=4)
    for label, vectors in (("a", ones), ("b", others)):
        for vector in vectors:
            assert cloud.add(Query(vector, label))
    within = (np.cov(ones.T) * 299 + np.cov(others.T) * 199) / 498
    assert cloud.mean("a") == pytest.approx(ones.mean(axis=0))
    assert cloud.covariance(shrink=0.0) == pytest.approx(within, rel=0.05, abs=0.05)
    assert cloud.mean("c") is None


def test_arrays_survive_as_bytes_and_others_are_refused():
    """Same numbers, same shape; a wrong size or a number that is none is an error."""
    array = np.arange(6.0).reshape(2, 3)
    assert (unpack(pack(array), 2, 3) == array).all()
    with pytest.raises(ValueError, match="needed"):
        unpack(pack(array), 3, 3)
    with pytest.raises(ValueError, match="finite"):
        unpack(pack(np.array([np.nan])), 1)

"""engine/detectors/clouded.py: when a cloud is complete, and what survives being written down."""

import msgspec
import pytest

from engine.detectors.mahalanobis import Mahalanobis, MahalanobisParams
from engine.detectors.pca import Pca, PcaParams
from tests.support.detecting import observe

BOTH = [(Mahalanobis, MahalanobisParams), (Pca, PcaParams)]
LEARNT = [[float(place % 5), float(place % 3), 1.0] for place in range(40)]


@pytest.mark.parametrize(("kind", "params"), BOTH, ids=["mahalanobis", "pca"])
def test_nothing_is_judged_before_the_reference_is_complete_and_nothing_learnt_after(kind, params):
    """An outlier while learning is learnt, one afterwards is a finding and changes no state."""
    detector = kind(params(reference=40))
    assert all(detector.update(observe(place, of=of)) is None for place, of in enumerate(LEARNT))
    before = detector.dump()
    assert detector.update(observe(40, of=[90.0, -90.0, 1.0])) is not None
    assert detector.dump() == before


@pytest.mark.parametrize(("kind", "params"), BOTH, ids=["mahalanobis", "pca"])
def test_a_cloud_of_more_dimensions_than_allowed_is_refused(kind, params):
    """A state written under larger parameters is no state of smaller ones, and leaves the old one in place."""
    large = kind(params(reference=40))
    for place, of in enumerate(LEARNT):
        large.update(observe(place, of=of))
    small = kind(params(reference=40, dimensions_max=2))
    with pytest.raises(msgspec.DecodeError, match="dimensions"):
        small.load(large.dump())
    assert small.update(observe(0, of=[1.0, 2.0])) is None

"""engine/detectors/pca.py: vectors along and off a learnt pattern."""

import numpy as np
import pytest

from engine.detectors.pca import Pca, PcaParams
from tests.support.detecting import observe

RNG = np.random.default_rng(19)
AXES = RNG.normal(0.0, 1.0, (2, 10))
PATTERN = (RNG.normal(0.0, 1.0, (1_500, 2)) @ AXES + RNG.normal(0.0, 0.05, (1_500, 10))).tolist()


@pytest.mark.parametrize(
    ("odd", "where"),
    [
        ((np.array([30.0, 0.0]) @ AXES).tolist(), "along the pattern"),
        ((np.array([0.5, 0.5]) @ AXES + np.eye(10)[3] * 1.5).tolist(), "off the pattern"),
    ],
    ids=["T2", "Q"],
)
def test_extremes_of_the_pattern_and_breaks_of_it_are_told_apart(odd, where):
    """A vector far out within the pattern is found by T², one that leaves it by Q; the rest are left alone."""
    detector = Pca(PcaParams())
    findings = [detector.update(observe(place, of=of)) for place, of in enumerate([*PATTERN, odd])]
    assert [place for place, each in enumerate(findings) if each] == [1_500]
    assert where in findings[-1].detail


def test_a_reference_without_any_variance_does_no_harm():
    """All alike: the first other vector is a finding, and nothing is divided by zero."""
    detector = Pca(PcaParams(reference=50))
    same = [[1.0, 2.0]] * 60
    assert all(detector.update(observe(place, of=of)) is None for place, of in enumerate(same))
    assert detector.update(observe(60, of=[1.0, 3.0])) is not None


def test_one_dimension_is_a_pattern_without_a_residual():
    """A list of one number works as a z-score."""
    detector = Pca(PcaParams(reference=100))
    for place, value in enumerate(RNG.normal(0.0, 1.0, 100).tolist()):
        detector.update(observe(place, of=[value]))
    assert detector.update(observe(100, of=[0.5])) is None
    assert detector.update(observe(101, of=[20.0])) is not None

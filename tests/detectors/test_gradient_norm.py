"""engine/detectors/gradient_norm.py: norms that explode or vanish, on the logarithm."""

import numpy as np
import pytest

from engine.detectors.gradient_norm import GradientNorm, GradientNormParams
from tests.support.detecting import WILD, places_found

NORMS = np.random.default_rng(10).lognormal(0.0, 0.3, 300).tolist()


@pytest.mark.parametrize(
    ("params", "tail", "found"),
    [
        (GradientNormParams(), [20.0, 1.0], [300]),
        (GradientNormParams(), [2.0, 1e-6, 0.0], []),
        (GradientNormParams(vanishing=6.0), [1e-6, 0.0], [300, 301]),
        (GradientNormParams(consecutive=3), [20.0, 20.0, 1.0, 20.0, 20.0, 20.0], [305]),
    ],
    ids=["explodes", "vanishing-not-asked", "vanishes", "three-in-a-row"],
)
def test_a_norm_far_from_the_recent_ones_is_found(params, tail, found):
    """A factor of twenty is found, a factor of two is not; vanishing only where it is asked for."""
    assert places_found(GradientNorm(params), NORMS + tail) == found


def test_wild_values_do_no_harm():
    """Negative, infinite, missing, tiny and enormous values neither raise nor leave a state that can't be read."""
    detector = GradientNorm(GradientNormParams(vanishing=6.0))
    places_found(detector, WILD * 40)
    again = GradientNorm(detector.params)
    again.load(detector.dump())
    assert places_found(again, NORMS) == places_found(detector, NORMS)

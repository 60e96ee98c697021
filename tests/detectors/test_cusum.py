"""engine/detectors/cusum.py: small departures that add up."""

import numpy as np
import pytest

from engine.detectors.cusum import Cusum, CusumParams
from tests.support.detecting import WILD, places_found

NOISE = np.random.default_rng(7).normal(0.0, 1.0, 600).tolist()


@pytest.mark.parametrize(("shift", "within"), [(1.0, 60), (2.0, 15), (10.0, 3)])
def test_a_shift_is_found_after_about_limit_over_shift_less_slack(shift, within):
    """The larger the shift, the sooner; single values can't do it alone, since each is clipped."""
    tail = [value + shift for value in NOISE[:100]]
    found = places_found(Cusum(CusumParams(above=10.0, centre=0.0, scale=1.0)), NOISE + tail)
    assert len(NOISE) + 2 <= found[0] < len(NOISE) + within


@pytest.mark.parametrize(
    "params", [CusumParams(above=10.0), CusumParams(below=10.0), CusumParams(above=12.0, below=12.0)]
)
def test_noise_is_left_alone(params):
    """Standard normal noise stays below the limits."""
    assert places_found(Cusum(params), NOISE) == []


def test_the_sum_starts_again_after_a_finding():
    """A shift that lasts is found again and again, each time from zero."""
    detector = Cusum(CusumParams(above=9.0, centre=0.0, scale=1.0, slack=0.5, clip=4.0))
    assert places_found(detector, [3.0] * 12) == [3, 7, 11]


def test_a_fall_is_found_on_the_low_side_only():
    """`below` watches the other direction."""
    values = [-3.0] * 5
    assert places_found(Cusum(CusumParams(below=9.0, centre=0.0, scale=1.0)), values) == [3]
    assert places_found(Cusum(CusumParams(above=9.0, centre=0.0, scale=1.0)), values) == []


def test_wild_values_do_no_harm():
    """Infinite, missing, tiny and enormous values neither raise nor stop it from answering later."""
    detector = Cusum(CusumParams(above=9.0, centre=0.0, scale=1.0))
    places_found(detector, WILD * 20)
    assert places_found(detector, [4.0] * 10)

"""engine/detectors/page_hinkley.py: a mean that moves, without a reference."""

import numpy as np
import pytest

from engine.detectors.page_hinkley import PageHinkley, PageHinkleyParams
from tests.support.detecting import WILD, places_found

NOISE = np.random.default_rng(8).normal(100.0, 5.0, 500).tolist()


@pytest.mark.parametrize(
    ("params", "shift", "found"),
    [
        (PageHinkleyParams(above=20.0), 10.0, True),
        (PageHinkleyParams(above=20.0), -10.0, False),
        (PageHinkleyParams(below=20.0), -10.0, True),
        (PageHinkleyParams(above=20.0, below=20.0), 0.0, False),
    ],
)
def test_a_moved_mean_is_found_once_and_becomes_normal(params, shift, found):
    """One finding soon after the move on the asked side; then the new mean is the reference."""
    places = places_found(PageHinkley(params), NOISE + [value + shift for value in NOISE])
    assert len(places) == (1 if found else 0)
    assert all(500 < place < 530 for place in places)


def test_wild_values_do_no_harm():
    """Infinite, missing, tiny and enormous values neither raise nor leave a state that can't be read."""
    detector = PageHinkley(PageHinkleyParams(above=20.0, below=20.0))
    places_found(detector, WILD * 40)
    again = PageHinkley(detector.params)
    again.load(detector.dump())
    assert places_found(again, NOISE) == places_found(detector, NOISE)

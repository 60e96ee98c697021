"""engine/detectors/adwin.py: a window that drops its past when the mean moves, in little memory."""

import numpy as np
import pytest

from engine.detectors.adwin import Adwin, AdwinParams
from tests.support.detecting import WILD, places_found

RNG = np.random.default_rng(12)
RATE_LOW = (RNG.random(3_000) < 0.05).astype(float).tolist()
RATE_HIGH = (RNG.random(1_000) < 0.30).astype(float).tolist()


@pytest.mark.parametrize(
    ("side", "values", "found"),
    [
        ("both", RATE_LOW + RATE_HIGH, True),
        ("above", RATE_LOW + RATE_HIGH, True),
        ("below", RATE_LOW + RATE_HIGH, False),
        ("below", RATE_HIGH + RATE_LOW, True),
        ("both", RATE_LOW, False),
    ],
)
def test_a_mean_that_moves_to_the_asked_side_is_found(side, values, found):
    """A step of an error rate is found within 150 outcomes; none before it, none to the other side."""
    places = places_found(Adwin(AdwinParams(side=side)), values)
    step = len(RATE_HIGH) if values[0] == RATE_HIGH[0] and values != RATE_LOW and side == "below" and found else 3_000
    assert bool(places) is found
    assert all(place >= step for place in places)
    if found:
        assert places[0] < step + 150


def test_the_buckets_hold_the_exact_sum_and_variance_of_the_window():
    """Merging buckets loses neither: totals and squares equal numpy's over all that was seen."""
    values = RNG.normal(5.0, 2.0, 500)
    detector = Adwin(AdwinParams(range=1_000.0))
    assert places_found(detector, values.tolist()) == []
    buckets = [(1 << level, each) for level, row in enumerate(detector.state.rows) for each in row]
    assert sum(count for count, _ in buckets) == 500
    mean = sum(each.total for _, each in buckets) / 500
    spread = sum(each.squares + count * (each.total / count - mean) ** 2 for count, each in buckets)
    assert mean == pytest.approx(values.mean())
    assert spread / 500 == pytest.approx(values.var())


def test_memory_grows_with_the_logarithm_only():
    """20,000 values take fewer than a hundred buckets, and the state stays below its bound."""
    detector = Adwin(AdwinParams())
    places_found(detector, [0.5] * 20_000)
    assert sum(map(len, detector.state.rows)) < 100
    assert len(detector.dump()) <= detector.bytes_max()


def test_wild_values_do_no_harm():
    """Infinite, missing, tiny and enormous values neither raise nor leave a state that can't be read."""
    detector = Adwin(AdwinParams())
    places_found(detector, WILD * 40)
    again = Adwin(detector.params)
    again.load(detector.dump())
    assert places_found(again, RATE_HIGH) == places_found(detector, RATE_HIGH)

"""engine/detectors/spot.py: beyond an extreme quantile of the tail."""

import numpy as np
import pytest

from engine.detectors.spot import Spot, SpotParams, _pareto
from tests.support.detecting import WILD, places_found


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_shape_and_scale_of_a_known_tail_are_recovered(shape):
    """Probability-weighted moments of 20,000 Pareto values give back what they were drawn with."""
    uniform = np.random.default_rng(1).random(20_000)
    drawn = -2.0 * np.log(uniform) if shape == 0.0 else 2.0 / shape * (uniform**-shape - 1.0)
    fitted = _pareto(np.sort(drawn))
    assert fitted[0] == pytest.approx(shape, abs=0.05)
    assert fitted[1] == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("side", "tail", "found"),
    [("above", [8.0, 1.0, -8.0], [3_000]), ("below", [8.0, 1.0, -8.0], [3_002])],
)
def test_a_value_far_out_in_the_watched_tail_is_found(side, tail, found):
    """Eight deviations of a normal stream lie beyond the limit; the other tail is not looked at."""
    stream = np.random.default_rng(2).normal(0.0, 1.0, 3_000).tolist()
    places = places_found(Spot(SpotParams(side=side)), stream + tail)
    assert [place for place in places if place >= 3_000] == found
    assert len(places) < 8


def test_the_limit_of_a_heavy_tail_lies_far_beyond_its_bulk():
    """A log-normal stream is not alarmed on every value that a normal one would not have."""
    stream = np.random.default_rng(3).lognormal(0.0, 1.0, 10_000).tolist()
    assert len(places_found(Spot(SpotParams(reference=2_000)), stream)) < 10


def test_a_constant_stream_alarms_on_any_rise_and_on_nothing_else():
    """Without peaks the limit is the threshold itself."""
    assert places_found(Spot(SpotParams()), [5.0] * 900 + [5.0, 5.1, 4.0]) == [901]


def test_wild_values_do_no_harm():
    """Infinite, missing, tiny and enormous values neither raise nor leave a state that can't be read."""
    detector = Spot(SpotParams())
    places_found(detector, WILD * 100)
    again = Spot(detector.params)
    again.load(detector.dump())
    assert places_found(again, [1e9] * 50) == places_found(detector, [1e9] * 50)


def test_a_reference_that_leaves_too_few_peaks_is_refused():
    """Fifty values above the 95 % quantile leave two or three."""
    with pytest.raises(ValueError, match="ten peaks"):
        SpotParams(reference=50)

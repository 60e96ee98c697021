"""engine/detectors/likelihood.py: a value that is rare beside its own past, whatever its distribution."""

import msgspec
import numpy as np
import pytest

from engine.detectors.likelihood import Likelihood, LikelihoodParams
from tests.support.detecting import WILD, observe, places_found

RNG = np.random.default_rng(31)
NOISE = RNG.normal(10.0, 1.0, 1_000).tolist()
SPIKY = [value + (100.0 if place % 97 == 0 else 0.0) for place, value in enumerate(NOISE)]


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ([*NOISE, 30.0, 10.0], 1_000),
        ([*NOISE, *RNG.normal(10.0, 8.0, 20).tolist()], 1_000),
        ([*NOISE, *[10.0] * 30], 1_010),
        ([*SPIKY, 1_000.0], 1_000),
    ],
    ids=["level", "wild", "frozen", "beyond-its-spikes"],
)
def test_what_is_rare_for_this_value_is_found(values, first):
    """A high value, wild ones, a sensor that stands still: found within 20 observations, and nothing before 1,000."""
    places = [place for place in places_found(Likelihood(LikelihoodParams(above=2.0)), values) if place >= 300]
    assert places
    assert first <= places[0] < first + 20


def test_spikes_that_come_all_the_time_are_usual():
    """A spike of a hundred deviations every 97 values is no news after the first few."""
    assert [place for place in places_found(Likelihood(LikelihoodParams()), SPIKY) if place > 400] == []


def test_after_a_finding_it_is_silent():
    """A level that stays is reported once in each refractory period."""
    places = places_found(Likelihood(LikelihoodParams(refractory=50)), [*NOISE, *[60.0] * 40])
    assert [place for place in places if place >= 1_000] == [1_000]


def test_a_key_that_alarms_often_has_to_be_odder_for_the_next_alarm():
    """Each finding raises the bound by `rise`, which fades; without `rise` it stays."""
    values = [*NOISE, *([30.0, *NOISE[:60]]) * 6]
    detector = Likelihood(LikelihoodParams(refractory=10, rise=0.5, fade=1_000_000))
    bounds = [
        found.threshold
        for place, value in enumerate(values)
        if (found := detector.update(observe(place, value))) is not None
    ]
    assert len(bounds) > 1
    assert bounds == sorted(bounds)
    assert bounds[0] == 1.3
    assert bounds[1] == pytest.approx(1.3 * 1.5, rel=0.01)
    assert len(bounds) < len(places_found(Likelihood(LikelihoodParams(refractory=10, rise=0.0)), values))


def test_a_slow_shift_that_no_single_value_shows_is_found():
    """The mean of the last values leaves its past by little, each value stays within its own."""
    calm = RNG.normal(0.0, 1.0, 3_000).tolist()
    shifted = np.clip(RNG.normal(1.2, 0.6, 60), -2.0, 2.5).tolist()
    detector = Likelihood(LikelihoodParams(above=1.5))
    found = [detector.update(observe(place, value)) for place, value in enumerate(calm + shifted)]
    late = [each for each in found[3_000:] if each is not None]
    assert late
    assert late[0].detail.startswith("the trend of")


def test_a_first_move_after_a_constant_is_found():
    """No deviation was ever seen, so the first one is rare."""
    assert places_found(Likelihood(LikelihoodParams()), [5.0] * 300 + [5.5]) == [300]


def test_the_finding_names_the_aspect():
    """The sentence says which aspect was rare."""
    detector = Likelihood(LikelihoodParams())
    places_found(detector, NOISE)
    detector.state.quiet = 0
    finding = detector.update(observe(1_000, 80.0))
    assert finding is not None
    assert "of 80 is" in finding.detail


def test_wild_values_do_no_harm():
    """Infinite, missing, tiny and enormous values neither raise nor leave a state that can't be read."""
    detector = Likelihood(LikelihoodParams())
    places_found(detector, WILD * 40)
    again = Likelihood(detector.params)
    again.load(detector.dump())
    assert places_found(again, NOISE) == places_found(detector, NOISE)


def test_a_state_of_another_shape_is_refused():
    """`load` checks what it is given."""
    with pytest.raises(msgspec.DecodeError):
        Likelihood(LikelihoodParams()).load(msgspec.msgpack.encode({"recent": [1.0] * 30}))

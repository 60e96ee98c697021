"""engine/detectors/seasonal.py: values that are odd for their time."""

import msgspec
import numpy as np
import pytest

from engine.clock import PositiveDuration
from engine.detectors.contract import Observation
from engine.detectors.seasonal import Seasonal, SeasonalParams

HOUR_US = 3_600 * 1_000_000
RNG = np.random.default_rng(11)
WEEKS = [100.0 + 50.0 * (9 <= hour % 24 < 18) + float(RNG.normal(0, 2)) for hour in range(24 * 28)]


def found(params, values):
    detector = Seasonal(params)
    seen = (Observation(place * HOUR_US, f"e{place}", "s", value) for place, value in enumerate(values))
    return [place for place, observation in enumerate(seen) if detector.update(observation) is not None]


@pytest.mark.parametrize(
    ("hour", "value", "expected"),
    [(3, 150.0, True), (12, 150.0, False), (12, 100.0, True), (3, 100.0, False)],
    ids=["noon-at-night", "noon", "night-at-noon", "night"],
)
def test_what_is_odd_is_odd_for_its_hour(hour, value, expected):
    """The same value is found at night and not at noon, and the other way round."""
    places = found(SeasonalParams(bins=24), [*WEEKS, *WEEKS[:hour], value])
    assert places == ([len(WEEKS) + hour] if expected else [])


def test_an_incident_does_not_become_the_profile():
    """Three bad nights in a row are found, each of them."""
    bad = [value + (60.0 if hour % 24 == 3 else 0.0) for hour, value in enumerate(WEEKS[: 24 * 3])]
    assert found(SeasonalParams(bins=24), [*WEEKS, *bad]) == [len(WEEKS) + day * 24 + 3 for day in range(3)]


def test_only_the_asked_side_counts():
    """With `below` null, a fall to nothing is left alone."""
    params = SeasonalParams(bins=24, below=None)
    assert found(params, [*WEEKS, 0.0]) == []
    assert found(params, [*WEEKS, 500.0]) == [len(WEEKS)]


def test_the_first_days_are_for_learning():
    """No answer before each part has seen its values."""
    assert found(SeasonalParams(bins=24, warmup=10), [*WEEKS[: 24 * 5], 9_999.0]) == []


def test_a_state_of_another_period_is_refused():
    """A profile of 24 parts is none of 48."""
    blob = Seasonal(SeasonalParams(bins=24)).dump()
    with pytest.raises(msgspec.DecodeError):
        Seasonal(SeasonalParams(bins=48)).load(blob)


def test_a_bound_must_be_given():
    """Neither side is no question."""
    with pytest.raises(ValueError, match="above"):
        SeasonalParams(above=None, below=None, period=PositiveDuration(1))

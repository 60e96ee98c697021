"""engine/detectors/egress.py: volumes that are far more than usual."""

import numpy as np
import pytest

from engine.detectors.contract import Observation
from engine.detectors.egress import Egress, EgressParams

HOUR_US = 3_600 * 1_000_000
USUAL = np.random.default_rng(5).lognormal(18.0, 0.5, 200).tolist()  # some 65 MB an hour


def found(params, volumes, every_us=HOUR_US):
    detector = Egress(params)
    seen = (Observation(place * every_us, f"e{place}", "s", volume) for place, volume in enumerate(volumes))
    return [place for place, observation in enumerate(seen) if detector.update(observation) is not None]


@pytest.mark.parametrize(
    ("volumes", "within"),
    [([1e12], 1), ([1e9] * 24, 8), (USUAL[:48], 0), ([0.0, 1.0] * 50, 0)],
    ids=["at-once", "slowly", "usual", "silence"],
)
def test_a_theft_is_found_at_once_or_after_some_hours(volumes, within):
    """A terabyte is found in its hour, fifteen times the usual within some; the usual and silence never."""
    places = found(EgressParams(), USUAL + volumes)
    assert (200 <= places[0] < 200 + within) if within else places == []


def test_the_bucket_that_runs_is_looked_at_while_it_runs():
    """Gigabytes in each minute of an hour are found in it, once, and not at its end."""
    detector = Egress(EgressParams())
    for place, volume in enumerate(USUAL):
        detector.update(Observation(place * HOUR_US, "e", "s", volume))
    minutes = [
        minute
        for minute in range(60)
        if detector.update(Observation(200 * HOUR_US + minute * 60_000_000, "e", "s", 1e11)) is not None
    ]
    assert len(minutes) == 1
    assert minutes[0] < 50


def test_a_little_is_never_a_theft():
    """Below `bytes_min`, a thousand times the usual is left alone."""
    assert found(EgressParams(), [10.0] * 100 + [1e5]) == []
    assert found(EgressParams(bytes_min=0.0), [10.0] * 100 + [1e5] * 3) != []

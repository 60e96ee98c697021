"""engine/detectors/surge.py, counted.py: far more events than usual."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from engine.clock import PositiveDuration
from engine.detectors.contract import Observation
from engine.detectors.surge import Surge, SurgeParams

MINUTE_US = 60_000_000
PARAMS = SurgeParams(within=PositiveDuration(MINUTE_US), reference=30)


def times(counts, seed=1):
    """So many events in each minute, at random in it."""
    rng = np.random.default_rng(seed)
    return [
        minute * MINUTE_US + int(at)
        for minute, count in enumerate(counts)
        for at in np.sort(rng.integers(0, MINUTE_US, count))
    ]


def found(params, stamps):
    detector = Surge(params)
    return [at for at in stamps if detector.update(Observation(at, f"e{at}", "s")) is not None]


def test_a_burst_is_found_within_its_minute():
    """Ten times the usual rate is found as soon as enough of it has come."""
    places = found(PARAMS, times([100] * 60 + [1_000]))
    assert places
    assert 60 * MINUTE_US <= places[0] < 60.5 * MINUTE_US


def test_a_burst_over_a_boundary_is_one_burst():
    """Events that lie half before and half after a full minute count together."""
    usual = times([100] * 60)
    burst = [60 * MINUTE_US - 5_000_000 + place * 10_000 for place in range(1_000)]
    assert len(found(PARAMS, sorted(usual + burst))) == 1


def test_what_varies_a_lot_is_given_room():
    """Counts that vary 40 times as much as Poisson's bring no finding at a count that is one in steady traffic."""
    rng = np.random.default_rng(2)
    wild = [int(rng.poisson(rng.gamma(100 / 39, 39))) for _ in range(60)]
    assert found(PARAMS, times([*wild, 300])) == []
    assert found(PARAMS, times([100] * 60 + [300])) != []


def test_a_surge_that_lasts_is_told_once_per_window_and_not_learnt_at_once():
    """Three minutes of it bring at least three findings, a window apart."""
    places = found(PARAMS, times([100] * 60 + [1_000] * 3))
    assert len(places) >= 3
    assert min(later - first for first, later in pairwise(places)) >= 0.9 * MINUTE_US


def test_after_years_of_silence_it_goes_on():
    """A gap far longer than the memory takes no time, and leaves empty windows behind."""
    detector = Surge(PARAMS)
    for at in [*times([100] * 60), 10**15]:
        detector.update(Observation(at, "e", "s"))
    assert detector.state.past == [0] * 30


def test_a_state_with_too_many_windows_is_refused():
    """`load` checks what it is given."""
    with pytest.raises(msgspec.DecodeError):
        Surge(PARAMS).load(msgspec.msgpack.encode({"past": [1] * 31}))

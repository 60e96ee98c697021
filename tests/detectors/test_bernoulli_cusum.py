"""engine/detectors/bernoulli_cusum.py: a rate that rises against what is usual."""

import msgspec
import numpy as np
import pytest

from engine.detectors.bernoulli_cusum import BernoulliCusum, BernoulliCusumParams
from tests.support.detecting import observe


def outcomes(seed, *stretches):
    rng = np.random.default_rng(seed)
    return [bool(hit) for rate, count in stretches for hit in rng.random(count) < rate]


def found(detector, values):
    return [place for place, of in enumerate(values) if detector.update(observe(place, of=of)) is not None]


@pytest.mark.parametrize("params", [BernoulliCusumParams(rate=0.02), BernoulliCusumParams(reference=2_000)])
@pytest.mark.parametrize(("rate", "within"), [(0.05, 1_500), (0.2, 150)])
def test_a_rate_that_rises_is_found_and_not_before(params, rate, within):
    """From 2 % to 5 % within some hundred outcomes, to 20 % within some dozens, known or learnt."""
    places = found(BernoulliCusum(params), outcomes(4, (0.02, 6_000), (rate, 2_000)))
    assert 6_000 <= places[0] < 6_000 + within


def test_a_rate_that_falls_or_stays_is_left_alone():
    """No finding where the rate goes from 5 % to 1 %."""
    assert found(BernoulliCusum(BernoulliCusumParams(rate=0.05)), outcomes(5, (0.05, 5_000), (0.01, 5_000))) == []


def test_a_usual_rate_of_nothing_makes_any_run_of_hits_found():
    """After a reference without a hit, a few hits are enough, and nothing divides by zero."""
    places = found(BernoulliCusum(BernoulliCusumParams(reference=1_000)), [False] * 1_000 + [True] * 30)
    assert places
    assert places[0] < 1_020


def test_what_is_no_bool_is_no_outcome():
    """Numbers, texts and nulls change nothing."""
    detector = BernoulliCusum(BernoulliCusumParams(rate=0.02))
    before = detector.dump()
    assert found(detector, [1, 0.0, "true", None, [True]] * 20) == []
    assert detector.dump() == before


def test_a_state_with_an_impossible_rate_is_refused():
    """`load` checks what it is given."""
    detector = BernoulliCusum(BernoulliCusumParams())
    with pytest.raises(msgspec.DecodeError):
        detector.load(msgspec.msgpack.encode({"rate": 1.5}))

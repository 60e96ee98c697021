"""engine/detectors/reference.py: the yardstick that `ewma` and `cusum` learn once."""

import pytest

from engine.detectors.reference import ReferenceParams, ReferenceState, standardise


def test_the_yardstick_is_learnt_from_the_first_values_and_then_stays():
    """Nothing is measured while learning; afterwards centre and scale are the median and MAD of the first values."""
    params, state = ReferenceParams(reference=11), ReferenceState()
    assert [standardise(float(value), state, params) for value in [*range(10), 1_000]] == [None] * 11
    assert state.learning == []
    assert state.centre == 5.0
    assert standardise(5.0, state, params) == 0.0
    before = state.scale
    assert standardise(1e9, state, params) == (1e9 - 5.0) / before
    assert state.scale == before


def test_a_known_yardstick_is_used_at_once():
    """With `centre` and `scale` nothing is learnt."""
    state = ReferenceState()
    assert standardise(14.0, state, ReferenceParams(centre=10.0, scale=2.0)) == 2.0


def test_a_constant_is_measured_by_the_floor():
    """A value that never changed has a scale of `floor` times itself."""
    params, state = ReferenceParams(reference=10, floor=0.1), ReferenceState()
    for _ in range(10):
        standardise(50.0, state, params)
    assert standardise(60.0, state, params) == pytest.approx(2.0)


def test_half_a_yardstick_is_refused():
    """`centre` without `scale` is a mistake."""
    with pytest.raises(ValueError, match="go together"):
        ReferenceParams(centre=1.0)

"""engine/detectors/loss_spike.py: jumps of a loss that falls and is noisy."""

import numpy as np
import pytest

from engine.detectors.loss_spike import LossSpike, LossSpikeParams
from tests.support.detecting import WILD, places_found

RNG = np.random.default_rng(9)
FALLING = [2.3 * 0.99**step * noise + 0.1 * noise for step, noise in enumerate(RNG.lognormal(0.0, 0.25, 600).tolist())]


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        ([2.0] * 5, [602, 603, 604]),
        ([9.0, 0.1, 0.1, 9.0, 0.1], []),
        ([0.01] * 10, []),
        ([0.12] * 10, []),
    ],
    ids=["a-jump-that-stays", "two-hard-batches", "falls-at-once", "goes-on"],
)
def test_a_jump_is_found_when_three_of_five_losses_are_high(tail, found):
    """A loss that stays up is found at its third step; single hard batches and falls are not."""
    assert places_found(LossSpike(LossSpikeParams()), FALLING + tail) == found


def test_a_falling_loss_is_no_spike():
    """600 steps of a falling, noisy loss are left alone."""
    assert places_found(LossSpike(LossSpikeParams()), FALLING) == []


def test_a_jump_does_not_become_normal_before_it_was_seen_for_long():
    """The baseline follows slowly: a jump to twenty times the loss is still one 30 steps later."""
    assert len(places_found(LossSpike(LossSpikeParams()), FALLING + [2.0] * 30)) >= 28


@pytest.mark.parametrize(("floor_abs", "found"), [(0.0, True), (0.02, False)])
def test_near_zero_only_an_absolute_floor_keeps_relative_jumps_apart_from_real_ones(floor_abs, found):
    """A loss of 1e-4 that becomes 1e-2 is a hundredfold jump, and none beside a floor of 0.02."""
    values = [1e-4] * 100 + [1e-2] * 5
    assert bool(places_found(LossSpike(LossSpikeParams(floor_abs=floor_abs)), values)) is found


def test_wild_values_do_no_harm():
    """Infinite, missing, tiny and enormous values neither raise nor leave a state that can't be read."""
    detector = LossSpike(LossSpikeParams())
    places_found(detector, WILD * 40)
    again = LossSpike(detector.params)
    again.load(detector.dump())
    assert places_found(again, FALLING) == places_found(detector, FALLING)

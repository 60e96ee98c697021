"""engine/detectors/ewma.py: lasting shifts, single outliers."""

import numpy as np
import pytest

from engine.detectors.ewma import Ewma, EwmaParams
from tests.support.detecting import WILD, places_found

NOISE = np.random.default_rng(6).normal(0.0, 1.0, 600).tolist()
SHIFTED = [value + 2.0 for value in NOISE[:60]]


@pytest.mark.parametrize(
    ("params", "tail", "first"),
    [
        (EwmaParams(above=4.5, centre=0.0, scale=1.0), SHIFTED, range(602, 615)),
        (EwmaParams(above=4.5), SHIFTED, range(602, 620)),
        (EwmaParams(below=4.5), SHIFTED, None),
        (EwmaParams(below=4.5), [-value for value in SHIFTED], range(602, 620)),
        (EwmaParams(above=5.0), [8.0, 0.0, 0.0], None),
    ],
    ids=["known", "learnt", "other-side", "down", "one-outlier"],
)
def test_a_lasting_shift_of_two_deviations_is_found_within_some_values(params, tail, first):
    """The chart leaves its limits soon after the shift, on the asked side only, and not for one outlier."""
    found = places_found(Ewma(params), NOISE + tail)
    assert (found[0] in first) if first else not found


def test_the_condition_ends_with_the_shift():
    """Findings stop some values after the course has come back."""
    found = places_found(Ewma(EwmaParams(above=4.5)), [*NOISE, *SHIFTED, *NOISE])
    assert found
    assert found[-1] < len(NOISE) + len(SHIFTED) + 40


def test_wild_values_do_no_harm():
    """Infinite, missing, tiny and enormous values neither raise nor stop the chart from answering later."""
    detector = Ewma(EwmaParams(above=4.5, below=4.5, centre=0.0, scale=1.0))
    places_found(detector, WILD * 20)
    assert places_found(detector, [9.0] * 60)[-1] == 59


def test_limits_must_be_given():
    """`above` or `below` is needed."""
    with pytest.raises(ValueError, match="needs `above` or `below`"):
        EwmaParams()

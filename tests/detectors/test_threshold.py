"""engine/detectors/threshold.py: bounds, runs of values, parameters."""

import msgspec
import pytest

from engine.detectors.threshold import Threshold, ThresholdParams
from tests.support.detecting import WILD, places_found


@pytest.mark.parametrize(
    ("params", "values", "found"),
    [
        (ThresholdParams(above=1.0), [1.0, 1.01, 0.0, 2.0], [1, 3]),
        (ThresholdParams(below=0.0), [0.0, -0.01, 1.0], [1]),
        (ThresholdParams(above=1.0, below=-1.0), [0.0, 2.0, -2.0], [1, 2]),
        (ThresholdParams(above=1.0, consecutive=3), [2, 2, 0, 2, 2, 2, 2, 0], [5, 6]),
        (ThresholdParams(above=1.0, consecutive=2), [2, None, 2], [2]),
        (ThresholdParams(above=0.0), WILD, [2, 4, 5, 11]),
    ],
    ids=["above", "below", "both", "consecutive", "a-missing-value-is-no-value", "wild"],
)
def test_a_value_beyond_its_bound_is_found(params, values, found):
    """Findings stand exactly where the bound is crossed often enough in a row."""
    assert places_found(Threshold(params), values) == found


def test_a_threshold_without_a_bound_is_refused():
    """`above` or `below` must be given."""
    with pytest.raises(msgspec.ValidationError, match="needs `above` or `below`"):
        msgspec.convert({"consecutive": 2}, ThresholdParams)

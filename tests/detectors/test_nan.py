"""engine/detectors/nan.py: the forms that a broken number takes in JSON."""

import pytest

from engine.detectors.nan import Nan, NanParams
from tests.support.detecting import observe


@pytest.mark.parametrize(
    ("of", "null", "found"),
    [
        ("NaN", True, True),
        ("-inf", True, True),
        (" Infinity ", True, True),
        (float("nan"), True, True),
        ([0.1, "nan"], True, True),
        (None, True, True),
        (None, False, False),
        (0.0, True, False),
        (1e308, True, False),
        ("n/a", True, False),
        ("banana", True, False),
        (True, True, False),
        ([], True, False),
        ({"loss": "NaN"}, True, False),
    ],
)
def test_what_is_no_finite_number_is_found(of, null, found):
    """NaN and infinities are found as words, as floats, in lists and, if wanted, as null; other values are not."""
    assert (Nan(NanParams(null=null)).update(observe(0, of=of)) is not None) is found

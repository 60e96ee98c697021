"""engine/detectors/values.py: the sorted window against numpy, and state that is refused when it does not fit."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.detectors.robust_z import RobustZ, RobustZParams
from engine.detectors.values import MAD_TO_SIGMA, MEAN_AD_TO_SIGMA, VALUE_MAX, SortedWindow, usable

FLOATS = st.floats(-1e6, 1e6, allow_nan=False)


@settings(max_examples=150)
@given(st.lists(FLOATS, min_size=1, max_size=60), st.integers(1, 20))
def test_the_window_has_the_median_and_deviation_of_its_last_values(values, size):
    """Median and scale equal those that numpy computes from the last `size` values."""
    window = SortedWindow(size)
    for value in values:
        window.push(value)
    last = np.array(values[-size:])
    assert window.values() == values[-size:]
    assert window.median() == pytest.approx(float(np.median(last)), abs=1e-9)
    centre = window.median()
    # The upper median of the distances: an observed distance, never a mean of two.
    upper = float(np.sort(np.abs(last - centre))[len(last) // 2])
    wanted = MAD_TO_SIGMA * upper if upper > 0 else MEAN_AD_TO_SIGMA * float(np.mean(np.abs(last - centre)))
    assert window.scale(centre) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(1.5, 1.5), (1e308, VALUE_MAX), (-1e308, -VALUE_MAX), (float("nan"), None), (float("inf"), None), (None, None)],
)
def test_only_finite_values_pass(value, wanted):
    """NaN, infinities and nothing are no values; enormous ones are clamped."""
    assert usable(value) == wanted


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"junk",
        msgspec.msgpack.encode({"window": "text"}),
        msgspec.msgpack.encode({"window": [], "more": 1}),
        msgspec.msgpack.encode({"window": [1.0] * 11}),
        msgspec.msgpack.encode({"window": [float("nan")]}),
    ],
    ids=["empty", "junk", "type", "unknown-field", "too-long", "nan"],
)
def test_state_that_does_not_fit_is_refused_and_leaves_the_detector_as_it_was(blob):
    """`load` of anything but a state for these parameters raises DecodeError and changes nothing."""
    detector = RobustZ(RobustZParams(above=3.0, window=10, warmup=5))
    before = detector.dump()
    with pytest.raises(msgspec.DecodeError):
        detector.load(blob)
    assert detector.dump() == before

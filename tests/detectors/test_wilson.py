"""engine/detectors/wilson.py: a rate that is surely beyond a bound."""

import msgspec
import pytest

from engine.detectors.wilson import Wilson, WilsonParams
from tests.support.detecting import observe


def found(detector, values):
    return [place for place, of in enumerate(values) if detector.update(observe(place, of=of)) is not None]


@pytest.mark.parametrize(
    ("params", "values", "first"),
    [
        (WilsonParams(above=0.5), [True] * 12, 9),
        (WilsonParams(above=0.5), [True, False] * 300, None),
        (WilsonParams(below=0.5), [False] * 12, 9),
        (WilsonParams(above=0.1, window=50), [False] * 500 + [True] * 50, 511),
        (WilsonParams(above=0.99), [True] * 400, None),
        (WilsonParams(above=0.5), [1.0, "yes", None] * 20, None),
    ],
    ids=["all-hits", "at-the-bound", "no-hits", "window-slides", "not-sure-yet", "no-outcomes"],
)
def test_a_rate_is_found_once_the_interval_lies_beyond_the_bound(params, values, first):
    """Ten of ten prove a rate above one half at 99.9 %, nine of nine do not."""
    assert (found(Wilson(params), values) or [None])[0] == first


def test_the_window_forgets():
    """Old hits leave the window and the condition ends with them."""
    places = found(Wilson(WilsonParams(above=0.2, window=40)), [True] * 40 + [False] * 100)
    assert places[-1] < 40 + 40


@pytest.mark.parametrize("outcomes", [b"\x02", b"\x01" * 41])
def test_a_state_that_is_no_window_is_refused(outcomes):
    """`load` checks values and length."""
    with pytest.raises(msgspec.DecodeError):
        Wilson(WilsonParams(above=0.2, window=40)).load(msgspec.msgpack.encode({"outcomes": outcomes}))


def test_a_bound_must_be_given():
    """`above` or `below` is needed."""
    with pytest.raises(ValueError, match="needs `above` or `below`"):
        WilsonParams()

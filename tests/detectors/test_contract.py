"""What every detector of the table promises, whatever its method: discovered, not listed."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clock import SECOND_US, decode_hook
from engine.detectors.contract import Observation
from engine.detectors.table import DETECTORS

METHODS = sorted(DETECTORS.methods)
# Parameters of the methods that have no defaults for all of theirs.
MINUTE = "1m"
PARAMS: dict[str, dict[str, Any]] = {
    "absence": {"for": MINUTE},
    "count": {"at_least": 5, "within": MINUTE},
    "distinct": {"at_least": 5, "within": MINUTE},
    "ratio": {"at_least": 0.5, "within": MINUTE, "min_events": 5},
    "sum": {"above": 100.0, "within": MINUTE},
    "mean": {"above": 3.0, "below": -3.0, "within": MINUTE},
    "min": {"above": 1.0, "within": MINUTE, "min_events": 3},
    "max": {"below": 1.0, "within": MINUTE, "min_events": 3},
    "quantile": {"q": 0.9, "above": 2.0, "within": MINUTE, "events_max": 20},
    "threshold": {"above": 2.0},
    "wilson": {"above": 0.5},
    "accuracy": {"below": 0.9},
    "cusum": {"above": 5.0, "below": 5.0, "reference": 10},
    "drought": {"within": MINUTE, "reference": 8},
    "ewma": {"above": 3.0, "reference": 10},
    "page-hinkley": {"above": 5.0, "warmup": 5},
    "query-similarity": {"below": 1.0},
    "robust-z": {"above": 3.0, "warmup": 5},
    "surge": {"within": MINUTE, "reference": 8},
}
LATENESS_US = 20 * SECOND_US
WILD = [0.0, -0.0, 1.0, -1.0, 1e308, -1e308, 5e-324, 1e-300, 1e15 + 0.5, 3.0]
OF = [True, False, None, "a", "b", 0, 1, 1.0, 2**70, [1, "x"], {"k": [None]}, "\U0001f525"]


def made(method):
    """A detector as the core makes it."""
    kind = DETECTORS.methods[method]
    for params in (PARAMS.get(method, {}), {"above": 3.0}):
        try:
            detector = kind(msgspec.convert(params, kind.params_type, dec_hook=decode_hook))
            break
        except msgspec.ValidationError:
            assert method not in PARAMS, f"the parameters of {method} in PARAMS do not fit"
    else:
        raise AssertionError(f"add parameters for {method} to PARAMS")
    detector.lateness_us = LATENESS_US
    return detector


def observation(place, step):
    at_s, value, of = step
    return Observation(at_s * SECOND_US, f"event-{place}", "source", value, of)


def answer(finding):
    """A finding in a form that compares, NaN included."""
    return None if finding is None else (finding.detail, repr(finding.value), finding.threshold, finding.event_ids)


STEPS = st.lists(
    st.tuples(
        st.integers(1_000, 1_150),
        st.one_of(st.sampled_from(WILD), st.floats(-10, 10, allow_nan=False)),
        st.sampled_from(OF),
    ),
    max_size=60,
)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15)
@given(steps=STEPS, cut=st.integers(0, 60))
def test_a_detector_written_down_at_any_point_goes_on_with_the_same_answers(method, steps, cut):
    """Dump, load into a fresh one, and all that follows is the same; the dump keeps to its bound, timers too."""
    through, parted = made(method), made(method)
    for place, step in enumerate(steps):
        if place == cut:
            blob = parted.dump()
            assert len(blob) <= parted.bytes_max()
            parted = made(method)
            parted.load(blob)
        seen = observation(place, step)
        assert answer(through.update(seen)) == answer(parted.update(seen))
        assert through.due_us() == parted.due_us()
    assert len(through.dump()) <= through.bytes_max()


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15)
@given(steps=STEPS, more=STEPS)
def test_an_answer_comes_from_what_was_seen_and_not_from_what_follows(method, steps, more):
    """The same observations give the same answers, whatever comes after them."""
    first, second = made(method), made(method)
    alone = [answer(first.update(observation(place, step))) for place, step in enumerate(steps)]
    followed = [answer(second.update(observation(place, step))) for place, step in enumerate([*steps, *more])]
    assert followed[: len(steps)] == alone


@pytest.mark.parametrize("method", METHODS)
def test_the_state_stays_below_its_bound_under_a_flood(method):
    """Ten thousand observations of one key, in and out of order."""
    detector = made(method)
    bound = detector.bytes_max()
    for place in range(10_000):
        at_us = 10**15 + place * 10_000 - (place % 7) * SECOND_US
        detector.update(Observation(at_us, "i" * 300, "source", float(place % 11) - 5, place % 13))
        if place % 1_000 == 0:
            assert len(detector.dump()) <= bound
    assert len(detector.dump()) <= bound


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [[0.0], [1e308, -1e308], [5e-324], [1e15, 1e15 + 0.125], [math.pi], [-7.0, 1e-9]])
def test_constants_and_extremes_neither_raise_nor_give_values_that_are_no_numbers(method, values):
    """Where a finding has a value, people and JSON can read it."""
    detector = made(method)
    for place in range(300):
        finding = detector.update(Observation(10**15 + place * SECOND_US, "e", "s", values[place % len(values)], False))
        if finding is not None and finding.value is not None:
            assert math.isfinite(finding.value), finding
            assert finding.detail


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("blob", [b"", b"\xc1", b"\x00", b"\x93\x01\x02", b"garbage" * 10])
def test_what_is_no_state_is_refused(method, blob):
    """A damaged row is told as what it is, so that the window can begin anew; the detector is as usable as before."""
    detector = made(method)
    with pytest.raises(msgspec.DecodeError):
        detector.load(blob)
    detector.update(Observation(10**15, "e", "s", 1.0, True))


@pytest.mark.parametrize("method", METHODS)
def test_a_timer_is_past_once_it_has_been_told(method):
    """`tick` at the due time moves the next due time on, so that no timer fires for ever."""
    detector = made(method)
    detector.update(Observation(10**15, "e", "s", 1.0, True))
    for _ in range(3):
        due_us = detector.due_us()
        if due_us is None:
            return
        assert detector.tick(due_us - 1) is None
        detector.tick(due_us)
        later_us = detector.due_us()
        assert later_us is None or later_us > due_us


@pytest.mark.parametrize("method", METHODS)
def test_the_table_calls_each_detector_by_its_own_name(method):
    """A name in a rule file and the class's own are one."""
    assert DETECTORS.methods[method].method == method

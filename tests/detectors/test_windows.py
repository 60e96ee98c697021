"""The window methods against the brute-force reference: any times, any order, dumped and loaded at any point."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clock import Duration
from engine.detectors.contract import Observation
from engine.detectors.table import DETECTORS
from tests.core.reference import Reference, Window

LATENESS = 6
WITHIN = Duration(5)
BOUND = {"within": WITHIN, "min_events": 2}
PARAMS = [
    ("count", {"at_least": 1, "within": WITHIN}),
    ("count", {"at_least": 2, "within": WITHIN}),
    ("count", {"at_least": 4, "within": WITHIN}),
    ("distinct", {"at_least": 2, "within": WITHIN}),
    ("distinct", {"at_least": 3, "within": WITHIN}),
    ("distinct", {"at_least": 5, "within": Duration(9)}),
    ("ratio", {"at_least": 0.6, **BOUND}),
    ("sum", {"above": 7.0, **BOUND}),
    ("mean", {"above": 3.0, "below": 1.0, **BOUND}),
    ("min", {"above": 1.0, **BOUND}),
    ("max", {"below": 3.0, **BOUND}),
    ("quantile", {"q": 0.7, "above": 2.0, "events_max": 4, **BOUND}),
    ("quantile", {"q": 0.5, "below": 2.0, "events_max": 100, **BOUND}),
]

TIMES = st.one_of(
    st.lists(st.integers(0, 40), max_size=40),
    st.lists(st.integers(0, 8), max_size=40),
    # In order but for the last few: what a busy broker makes of a stream.
    st.lists(st.tuples(st.integers(0, 3), st.integers(-7, 2)), max_size=40).map(
        lambda steps: [
            max(0, sum(step for step, _ in steps[: place + 1]) + off) for place, (_, off) in enumerate(steps)
        ]
    ),
)


def made(method, params):
    """A detector as the core makes it."""
    kind = DETECTORS.methods[method]
    detector = kind(kind.params_type(**params))
    detector.lateness_us = LATENESS
    return detector


@pytest.mark.parametrize(("method", "params"), PARAMS, ids=lambda each: each if isinstance(each, str) else "")
@settings(max_examples=150, deadline=None)
@given(times=TIMES, data=st.data())
def test_a_window_method_equals_the_reference(method, params, times, data):
    """Each observation is a finding exactly when the whole history says so; a restart in between changes nothing."""
    detector, window = made(method, params), Window()
    reference = Reference(None, lateness=LATENESS, ahead=0, evidence_max=1)
    rule = SimpleNamespace(detect=SimpleNamespace(method=method, params=detector.params))
    numbers = data.draw(st.lists(st.integers(0, 5), min_size=len(times), max_size=len(times)))
    restarts = data.draw(st.sets(st.integers(0, len(times))))
    for place, (at, number) in enumerate(zip(times, numbers, strict=True)):
        of = number > 2 if method == "ratio" else number
        expected = reference.finds(rule, window, at, float(number), of)
        window.observed.append((at, None, float(number), of))
        if place in restarts:
            blob = detector.dump()
            assert len(blob) <= detector.bytes_max()
            detector = made(method, params)
            detector.load(blob)
        found = detector.update(Observation(at, f"e{place}", "s", float(number), of))
        assert (found is not None) is expected, (place, at, number)


def test_a_flood_is_summed_within_a_64th_of_the_window():
    """Past what is kept one by one, observations leave a little late: sums are never too small, hardly too large."""
    within = 640_000
    detector = DETECTORS.methods["sum"](DETECTORS.methods["sum"].params_type(above=0.0, within=Duration(within)))
    detector.lateness_us = LATENESS
    times = list(range(0, 3 * within, 100))
    for place, at in enumerate(times):
        found = detector.update(Observation(at, f"e{place}", "s", 1.0))
        exact = min(place + 1, within // 100 + 1)
        assert exact <= found.value <= exact * (1 + 1 / 64) + 1
    assert len(detector.dump()) <= detector.bytes_max()

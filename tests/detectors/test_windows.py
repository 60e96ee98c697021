"""The window methods against the brute-force reference: any times, any order, dumped and loaded at any point."""

from types import SimpleNamespace

import msgspec
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
    ("quantile", {"q": 0.7, "above": 2.0, **BOUND}),
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
@settings(max_examples=150)
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
        expected = reference.finds(rule, detector.params, window, at, float(number), of)
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


FAR = Duration(6_400)
"""A window whose 32nd is 200."""
LATE = 3_000


def carried(detector, kind, restart):
    """The detector itself, or what a restart makes of it."""
    if not restart:
        return detector
    blob = detector.dump()
    assert len(blob) <= detector.bytes_max()
    again = kind(detector.params)
    again.lateness_us = detector.lateness_us
    again.load(blob)
    return again


@settings(max_examples=60)
@given(data=st.data(), q=st.sampled_from([0.0, 0.05, 0.5, 0.99, 1.0]), steps=st.integers(30, 120))
def test_past_its_bound_a_quantile_is_that_of_whole_slices_within_1_percent(data, q, steps):
    """After six observations each figure is within 1 % of the exact one of the 32nds that the window touches."""
    kind = DETECTORS.methods["quantile"]
    detector = kind(kind.params_type(q=q, above=-1e300, within=FAR, events_max=5))
    detector.lateness_us = LATE
    moves = data.draw(st.lists(st.tuples(st.integers(-2_500, 1_500), st.floats(-1e6, 1e6)), min_size=steps))
    restarts = data.draw(st.sets(st.integers(0, steps)))
    seen, at = [], 100_000
    for place, (move, value) in enumerate(moves):
        at += move
        newest = max([at, *(time for time, _ in seen)])
        detector = carried(detector, kind, place in restarts)
        found = detector.update(Observation(at, f"e{place}", "s", value))
        seen.append((at, value))
        if place < 6:
            continue
        if at < newest - FAR - LATE:
            assert found is None
            continue
        slices = range((at - FAR) // 200, at // 200 + 1)
        # What was too late when it came was never taken in.
        inside = sorted(
            each
            for number, (time, each) in enumerate(seen)
            if time // 200 in slices
            and time >= max(past for past, _ in seen[: number + 1]) - FAR - LATE
            and time // 200 >= (newest - FAR - LATE) // 200
        )
        exact = inside[max(0, -int(-q * 1e9 * len(inside) // 1e9) - 1)]
        assert abs(found.value - exact) <= 0.01 * abs(exact) + 1e-9
        assert f"of {len(inside)} events" in found.detail


def test_a_quantile_is_exact_again_after_silence():
    """Once nothing is left in memory, each observation is kept as such anew."""
    kind = DETECTORS.methods["quantile"]
    detector = kind(kind.params_type(q=0.5, above=-1.0, within=FAR, events_max=5))
    for place in range(20):
        detector.update(Observation(place, f"e{place}", "s", 3.3))
    assert detector.update(Observation(21, "e", "s", 3.3)).value != 3.3
    assert detector.update(Observation(21 + 3 * FAR, "e", "s", 3.3)).value == 3.3


@pytest.mark.parametrize("seed", range(5))
def test_many_different_values_are_found_within_a_tenth_of_their_number(seed):
    """A sketch of 2.3 % finds 5,000 different values at 4,500 to 5,500 of them, with repeats and restarts."""
    kind = DETECTORS.methods["distinct"]
    detector = kind(kind.params_type(at_least=5_000, within=Duration(10**9)))
    for place in range(5_500):
        detector = carried(detector, kind, place % 997 == 0)
        for _ in range(2):
            if detector.update(Observation(place * 1_000, f"e{place}", "s", of=f"{seed}-{place}")) is not None:
                assert place >= 4_500
                return
    raise AssertionError("never found")


def test_different_values_that_leave_the_window_do_not_add_up_in_a_sketch():
    """At most 4,100 in any window and a 32nd are no 5,000, however many go by; then a burst is."""
    kind = DETECTORS.methods["distinct"]
    detector = kind(kind.params_type(at_least=5_000, within=Duration(4_000_000)))
    detector.lateness_us = LATE
    calm = [detector.update(Observation(place * 1_000, f"e{place}", "s", of=place)) for place in range(20_000)]
    assert calm == [None] * 20_000
    burst = [detector.update(Observation(20_000_000 + place, "e", "s", of=-place)) for place in range(1_500)]
    finding = next(each for each in burst if each is not None)
    assert finding.detail.startswith("about 5000 different values within")
    assert len(detector.dump()) <= detector.bytes_max()


@pytest.mark.parametrize(
    ("method", "params", "blob"),
    [
        ("distinct", {"at_least": 5_000, "within": WITHIN}, b"\x93\xc0\x91\x92\x00\xc4\x01x\x90"),
        ("quantile", {"q": 0.5, "above": 1.0, "within": WITHIN}, b"\x94\xc0\x90\x90\x91\x92\x00\x81\x00\x00"),
    ],
)
def test_a_state_with_a_sketch_that_can_t_be_is_refused(method, params, blob):
    """Registers of no length that there is, a bin with nothing in it: the window begins anew instead."""
    with pytest.raises(msgspec.DecodeError):
        made(method, params).load(blob)

"""engine/detectors/ddsketch.py: ranks of numbers within 1 % of the exact ones, over the slices of a window."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.detectors.ddsketch import BIN_MAX, BINS_MAX, ERROR, SMALLEST, SlicedDDSketch, bin_of, value_of

NUMBERS = st.one_of(st.floats(-1e3, 1e3), st.floats(-1e100, 1e100), st.sampled_from([0.0, 1e-13, -1e-13, 5e-324]))


def near(found, exact):
    return abs(found - exact) <= (ERROR + 1e-9) * abs(exact) + SMALLEST


@given(value=NUMBERS)
def test_the_middle_of_a_bin_is_near_each_number_in_it(value):
    """Within ERROR of it, of its sign; around zero it is zero."""
    assert near(value_of(bin_of(value)), value)
    assert bin_of(-value) == -bin_of(value)
    assert abs(bin_of(value)) <= BIN_MAX


@settings(max_examples=200)
@given(values=st.lists(NUMBERS, min_size=1, max_size=200))
def test_each_rank_is_near_the_exact_one(values):
    """From the smallest to the largest."""
    sketch = SlicedDDSketch()
    for each in values:
        sketch.add(7, each)
    bins = sketch.window(7)
    assert bins.count == len(values)
    for rank, exact in enumerate(sorted(values), 1):
        assert near(bins.ranked(rank), exact)


def test_a_window_of_slices_holds_what_is_in_them():
    """Whatever was asked before, added after and forgotten."""
    sketch, draw, held = SlicedDDSketch(), random.Random(5), []
    for step in range(2_000):
        number, value = step // 50 + draw.randrange(3), draw.lognormvariate(0.0, 1.0)
        sketch.add(number, value)
        held.append((number, value))
        since = step // 50 - 3
        inside = sorted(each for at, each in held if at >= since)
        bins = sketch.window(since)
        assert bins.count == len(inside)
        assert near(bins.ranked(len(inside) // 2 + 1), inside[len(inside) // 2])
        sketch.forget(step // 50 - 6)
    assert len(sketch) <= 9


def test_past_the_bins_of_a_slice_the_smallest_are_put_together():
    """Numbers over forty powers of ten: the bound holds, the count is right, and the upper ranks keep their error."""
    sketch, draw = SlicedDDSketch(), random.Random(6)
    values = [10.0 ** draw.uniform(-10.0, 30.0) for _ in range(20_000)]
    for each in values:
        sketch.add(0, each)
    ((_, bins),) = sketch.parts()
    assert len(bins) <= BINS_MAX
    window, ordered = sketch.window(0), sorted(values)
    assert window.count == len(values)
    for rank in range(int(0.9 * len(values)), len(values) + 1, 50):
        assert near(window.ranked(rank), ordered[rank - 1])


def test_negative_numbers_join_their_own_side():
    """The bins of a slice stay within their bound with both signs, and the largest of both keep their error."""
    sketch = SlicedDDSketch()
    values = [sign * 1.03**each for each in range(400) for sign in (1, -1)]
    for each in values:
        sketch.add(0, each)
    assert near(sketch.window(0).ranked(1), min(values))
    assert near(sketch.window(0).ranked(len(values)), max(values))


def test_it_can_be_written_down():
    """What `parts` gives makes the same sketch."""
    sketch, draw = SlicedDDSketch(), random.Random(7)
    for step in range(500):
        sketch.add(step // 100, draw.gauss(0.0, 5.0))
    again = SlicedDDSketch(sketch.parts())
    assert [again.window(2).ranked(rank) for rank in range(1, 301)] == [
        sketch.window(2).ranked(rank) for rank in range(1, 301)
    ]


@pytest.mark.parametrize("bins", [{BIN_MAX + 1: 1}, {0: 0}, {3: -1}, dict.fromkeys(range(BINS_MAX + 1), 1)])
def test_what_can_t_be_bins_is_refused(bins):
    """A bin or a count that no number gives, or too many."""
    with pytest.raises(ValueError, match="bins"):
        SlicedDDSketch([(0, bins)])
    with pytest.raises(ValueError, match="rank"):
        SlicedDDSketch().window(0).ranked(1)

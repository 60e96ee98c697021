"""engine/detectors/hyperloglog.py: how many different hashes, within its stated error, over the slices of a window."""

import math
import random

import pytest

from engine.detectors.hyperloglog import ERROR, REGISTERS, SlicedHyperLogLog


def hashes(seed, count):
    draw = random.Random(seed)
    return [draw.getrandbits(64) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 10, 300, 2_000, 5_000, 30_000])
def test_the_error_is_the_one_it_states(count):
    """Over 40 sets of hashes the root mean square error is about 1.04 / sqrt(2048), with hardly any bias."""
    errors = []
    for seed in range(40):
        sketch = SlicedHyperLogLog()
        for each in hashes(f"{seed} {count}", count):
            sketch.add(0, each)
        errors.append(sketch.estimate(0) / count - 1.0)
    assert math.sqrt(sum(each * each for each in errors) / 40) <= 1.3 * ERROR
    assert abs(sum(errors) / 40) <= 0.6 * ERROR


def test_the_same_hash_counts_once_in_any_slice():
    """Slices are merged, not added up."""
    sketch = SlicedHyperLogLog()
    for number in range(10):
        for each in hashes(1, 500):
            sketch.add(number, each)
    assert sketch.estimate(0) == sketch.estimate(9) == pytest.approx(500, rel=0.1)


def test_a_window_of_slices_is_a_sketch_of_what_is_in_them():
    """Whatever was asked before, added after and forgotten, the estimate is that of one sketch over those slices."""
    sketch, draw, held = SlicedHyperLogLog(), random.Random(4), {}
    for step in range(3_000):
        number, each = step // 100 + draw.randrange(3), draw.getrandbits(64)
        sketch.add(number, each)
        held.setdefault(number, []).append(each)
        if step % 37 == 0:
            since = step // 100 - draw.randrange(4)
            alone = SlicedHyperLogLog()
            for each in (each for at, some in held.items() if at >= since for each in some):
                alone.add(0, each)
            assert sketch.estimate(since) == alone.estimate(0)
        sketch.forget(step // 100 - 8)
    assert len(sketch) <= 11


def test_it_can_be_written_down_sparse_and_full():
    """Few hashes take three bytes each, many one a register; the estimate is the same after it."""
    for count in (0, 5, 700, 20_000):
        sketch = SlicedHyperLogLog()
        for each in hashes(count, count):
            sketch.add(3, each)
        parts = sketch.parts()
        assert all(len(packed) <= min(3 * count, REGISTERS) for _, packed in parts)
        assert SlicedHyperLogLog(parts).estimate(3) == sketch.estimate(3)


@pytest.mark.parametrize("packed", [b"x", b"\xff\xff\x01", bytes([255]) * REGISTERS, b"\x00" * 3 * 1_000])
def test_what_are_no_registers_is_refused(packed):
    """Another length, a place or a value that can't be."""
    with pytest.raises(ValueError, match="register"):
        SlicedHyperLogLog([(0, packed)])


def test_the_ends_of_what_a_hash_can_be_are_counted():
    """All bits zero gives the largest rank there is, all ones the smallest."""
    sketch = SlicedHyperLogLog()
    sketch.add(0, 0)
    sketch.add(0, 2**64 - 1)
    assert sketch.estimate(0) == pytest.approx(2, rel=0.01)

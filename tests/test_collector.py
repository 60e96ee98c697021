"""The collector comes seldom, rests inside, comes back after, and leaves what settled alone."""

import gc

import pytest

from engine.collector import YOUNG_MAX, at_rest, calm


def test_it_rests_inside_and_works_again_after_an_error_too():
    """Whatever happens inside."""
    assert gc.isenabled()
    with at_rest():
        assert not gc.isenabled()
    with pytest.raises(ZeroDivisionError), at_rest():
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    """One rest may stand inside another."""
    with at_rest():
        with at_rest():
            pass
        assert not gc.isenabled()


def test_what_settled_is_not_looked_at_again():
    """It counts as permanent."""
    before = gc.get_freeze_count()
    try:
        with at_rest(settle=True):
            kept = [[] for _ in range(1_000)]
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()


def test_a_calm_collector_comes_seldom():
    """It still comes."""
    before = gc.get_threshold()
    try:
        calm()
        assert gc.get_threshold()[0] == YOUNG_MAX
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)

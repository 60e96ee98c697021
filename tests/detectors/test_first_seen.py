"""engine/detectors/first_seen.py: a principal where it never was."""

import pytest

from engine.clock import Duration
from engine.detectors.first_seen import FirstSeen, FirstSeenParams
from tests.support.detecting import SECOND_US, observe


def found(params, values):
    detector = FirstSeen(params)
    return [place for place, of in enumerate(values) if detector.update(observe(place, of=of)) is not None]


@pytest.mark.parametrize(
    ("params", "values", "places"),
    [
        ({"learn": 4}, ["a", "b", "a", "b", "c", "c", "a"], [4]),
        ({"learn": 0}, ["a", "a", "b"], [0, 2]),
        ({"learn": 0, "learn_for": Duration(3 * SECOND_US)}, ["a", "b", "c", "d", "e"], [3, 4]),
        ({"learn": 2, "memory": 2}, ["a", "b", "a", "c", "a", "b"], [3, 5]),
        ({"learn": 2, "forget": Duration(3 * SECOND_US)}, ["a", "b", "b", "b", "b", "a"], [5]),
        ({"learn": 1}, [{"x": 1, "y": 2}, {"y": 2, "x": 1}, {"x": 2}], [2]),
    ],
    ids=["learnt", "at-once", "learnt-for", "least-recent-goes", "forgotten", "structures"],
)
def test_what_was_never_there_is_found_once(params, values, places):
    """After learning, a value that is not known is a finding, and then known."""
    assert found(FirstSeenParams(**params), values) == places


def test_the_finding_names_it():
    """Cut to what fits a line."""
    detector = FirstSeen(FirstSeenParams(learn=0))
    assert detector.update(observe(0, of="weights" * 100)).detail.startswith("weightsweights")
    assert len(detector.update(observe(1, of=["x" * 1_000])).detail) < 150

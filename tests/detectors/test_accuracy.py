"""engine/detectors/accuracy.py: predictions joined with labels that come later."""

import pytest

from engine.detectors.accuracy import Accuracy, AccuracyParams
from tests.support.detecting import observe


def fed(detector, halves):
    return [place for place, of in enumerate(halves) if detector.update(observe(place, of=of)) is not None]


def predictions(count):
    return [{"id": place, "predicted": "a"} for place in range(count)]


def labels(count, wrong):
    return [{"id": place, "actual": "b" if place in wrong else "a"} for place in range(count)]


@pytest.mark.parametrize("order", ["late", "early", "joined"])
def test_the_share_of_right_ones_is_the_same_whichever_half_comes_first(order):
    """Three wrong of the last ten are found below 0.8, at the third wrong one."""
    first, second = predictions(30), labels(30, {22, 25, 27})
    if order == "joined":
        halves, before = [one | other for one, other in zip(first, second, strict=True)], 0
    else:
        halves, before = (first + second, 30) if order == "late" else (second + first, 30)
    assert fed(Accuracy(AccuracyParams(below=0.8, window=10)), halves)[0] == before + 27


def test_a_drop_is_held_against_the_first_window():
    """A model that began at 70 % may fall by 20 points, not more."""
    detector = Accuracy(AccuracyParams(drop=0.2, window=10))
    pairs = [{"id": 0, "predicted": 1, "actual": 1 if place % 10 < 7 else 0} for place in range(20)]
    assert fed(detector, pairs) == []
    assert fed(detector, [{"id": 0, "predicted": 1, "actual": 0}] * 6) != []


def test_a_half_without_the_other_is_forgotten_at_last():
    """The oldest waiting prediction goes; its label then finds nothing to join."""
    detector = Accuracy(AccuracyParams(below=1.0, window=10, pending_max=5))
    fed(detector, predictions(20))
    assert len(detector.state.waiting) == 5
    fed(detector, labels(15, set()))
    assert detector.state.agreed == b""


def test_one_of_the_bounds_is_needed():
    """Neither `below` nor `drop` is no question."""
    with pytest.raises(ValueError, match="below"):
        AccuracyParams()

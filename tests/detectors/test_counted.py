"""engine/detectors/counted.py: a count that slides over slices of time, and the windows that are learnt from it."""

from engine.clock import PositiveDuration
from engine.detectors.contract import Observation
from engine.detectors.surge import Surge, SurgeParams

SECOND_US = 1_000_000


def counting(at_s):
    """A count over 10 s, in slices of a second, after events at these seconds."""
    detector = Surge(SurgeParams(within=PositiveDuration(10 * SECOND_US), reference=8))
    for each in at_s:
        detector.update(Observation(int(each * SECOND_US), "e", "s"))
    return detector


def test_the_count_slides_by_slices():
    """Events count until their slice is ten slices old."""
    assert counting([0, 1, 2, 9.9]).total() == 4
    assert counting([0, 1, 2, 10]).total() == 3
    assert counting([0, 1, 2, 11.5]).total() == 2


def test_what_comes_late_counts_in_its_own_slice_and_too_late_not_at_all():
    """A late event is placed where it belongs; one older than the window is left out."""
    assert counting([0, 15, 9]).total() == 2
    assert counting([0, 15, 5]).total() == 1
    assert counting([0, 15, 9, 18]).total() == 3
    assert counting([0, 15, 9, 19.5]).total() == 2


def test_windows_end_to_end_are_learnt():
    """Each event goes into one learnt window; empty windows between are learnt as none."""
    detector = counting([0, 1, 2, 12, 41])
    assert detector.state.past == [3, 1, 0, 0]

"""engine/detectors/drought.py: far fewer events than usual, down to none at all."""

from engine.clock import PositiveDuration
from engine.detectors.contract import Observation
from engine.detectors.drought import Drought, DroughtParams

MINUTE_US = 60_000_000
PARAMS = DroughtParams(within=PositiveDuration(MINUTE_US), reference=30)


def fed(detector, counts, start=0):
    """The times of findings while so many events come in each minute, evenly."""
    found = []
    for minute, count in enumerate(counts, start):
        for place in range(count):
            at = minute * MINUTE_US + place * MINUTE_US // count
            found += ticked(detector, at)
            if detector.update(Observation(at, f"e{at}", "s")) is not None:
                found.append(at)
    return found


def ticked(detector, until_us):
    found = []
    while (due_us := detector.due_us()) is not None and due_us < until_us:
        if detector.tick(due_us) is not None:
            found.append(due_us)
    return found


def test_silence_is_found_by_the_timer():
    """When events stop, it is told within a window, without another event; and only once."""
    detector = Drought(PARAMS)
    assert fed(detector, [100] * 60) == []
    places = ticked(detector, 70 * MINUTE_US)
    assert len(places) == 1
    assert 60 * MINUTE_US < places[0] <= 61.2 * MINUTE_US


def test_a_trickle_is_found_and_told_again_after_recovery():
    """A tenth of the usual is a drought; after a recovery the next one is told again."""
    detector = Drought(PARAMS)
    fed(detector, [100] * 60)
    assert len(fed(detector, [10] * 2, start=60)) == 1
    assert fed(detector, [100] * 20, start=62) == []
    assert len(fed(detector, [10] * 2, start=82)) == 1


def test_where_silence_is_usual_it_is_no_drought_and_no_timer_runs():
    """An event every few minutes: an empty minute proves nothing, and the timer rests."""
    detector = Drought(PARAMS)
    assert fed(detector, [1, 0, 0, 2, 0] * 30) == []
    assert ticked(detector, 1_000 * MINUTE_US) == []
    assert detector.due_us() is None


def test_what_a_clock_jumped_over_is_put_off(monkeypatch):
    """By the length of the jump, to the slice."""
    detector = Drought(DroughtParams(within=PositiveDuration(60_000_000), reference=20))
    for second in range(1_500):
        detector.update(Observation(second * 1_000_000, f"e{second}", "s"))
    due_us = detector.due_us()
    detector.jump(due_us - 1, 3_600_000_000)
    assert detector.due_us() == due_us, "it did not jump over that"
    detector.jump(due_us + 7, 3_600_000_000)
    assert 0 <= 3_600_000_000 - (detector.due_us() - due_us) <= 60_000_000

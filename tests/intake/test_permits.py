"""engine.intake.permits: who may say what."""

import pytest

from engine.config import MayConfig
from engine.intake.permits import VIOLATION, objection, violation
from engine.model import Event
from engine.operate import metrics

EVENT = Event(id="e-1", source="/trainers/7", type="training.step", time_us=5, subject="run-7")


@pytest.mark.parametrize(
    ("may", "allowed"),
    [
        (MayConfig(), True),
        (MayConfig(types=("training.step",)), True),
        (MayConfig(types=("training.*",)), True),
        (MayConfig(types=("inference.*", "training.step")), True),
        (MayConfig(types=("training",)), False),
        (MayConfig(types=("training.step.*",)), False),
        (MayConfig(types=("train.*",)), False),
        (MayConfig(sources=("/trainers/",)), True),
        (MayConfig(sources=("/trainers/8", "/trainers/7")), True),
        (MayConfig(sources=("/trainer-s/",)), False),
        (MayConfig(types=("training.*",), sources=("/vault",)), False),
        (MayConfig(types=("vault.*",), sources=("/trainers/",)), False),
    ],
)
def test_types_and_sources_both_have_to_be_allowed(may, allowed):
    """What is not named is free; of what is named, one has to fit."""
    assert (objection(EVENT, may) == "") is allowed


def test_nobody_may_speak_as_the_daemon():
    """A violation that comes from outside is one itself, whatever its source may say."""
    forged = Event(id="x", source="/halon/intake", type=VIOLATION, time_us=0, subject="local/others/#")
    assert objection(forged, MayConfig())
    assert objection(forged, MayConfig(types=(VIOLATION, "halon.*")))


def test_the_violation_names_what_was_said_and_is_the_same_for_a_second_delivery():
    """Its id hangs on place, source and id of what was dropped; its subject on the config alone."""

    def told(event, topic="train/7", arrived_us=9):
        return violation(event, "no", door="local", entry="train/#", topic=topic, arrived_us=arrived_us)

    one = told(EVENT)
    assert (one.type, one.subject, one.time_us) == (VIOLATION, "local/train/#", 9)
    assert one.data == {
        "door": "local",
        "topic": "train/7",
        "type": "training.step",
        "source": "/trainers/7",
        "id": "e-1",
        "reason": "no",
    }
    assert told(EVENT, arrived_us=10).id == one.id
    others = [told(EVENT, topic="train/8"), told(Event(id="e-2", source=EVENT.source, type="a", time_us=0))]
    assert len({one.id, *(each.id for each in others)}) == 3
    assert others[0].subject == one.subject


def test_its_size_is_bounded():
    """However long what was said is, what is told of it is not."""
    long = Event(id="i" * 5_000, source="s" * 5_000, type="t" * 5_000, time_us=0)
    told = violation(
        long, objection(long, MayConfig(types=("a",))), door="d", entry="e", topic="t" * 5_000, arrived_us=1
    )
    assert len(str(told)) < 2_000


def test_the_metric_begins_under_the_same_name():
    """The layer of metrics does not know this one, and has the name too."""
    assert metrics.VIOLATION == VIOLATION

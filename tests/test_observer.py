"""engine.observer: committed batches to log lines, counts, and the figures of the status."""

import asyncio
import io
import json
import logging

import msgspec
import pytest

from engine import logs
from engine.clock import SECOND_US, VirtualClock
from engine.core import CoreStep
from engine.intake.contract import Received
from engine.logs import SIGNAL_LINES_PER_S_MAX
from engine.model import Fault, IntentState
from engine.observer import Observer
from engine.operate.metrics import Metrics
from engine.pipeline import Batch
from engine.store.batch import BatchChanges
from engine.store.deadletters import DeadLetter
from engine.store.intents import Move
from tests.support.stored import FREEZE, INCIDENT, START_US


@pytest.fixture
def out():
    """The stream that is logged to; afterwards logging is as it was."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    stream = io.StringIO()
    logs.setup(stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def batch(events=1, at_us=START_US, **changes):
    received = Received(door="local", token=1, topic="t", payload=b"", received_us=at_us, size_bytes=0)
    return Batch(
        received=(received,),
        changes=BatchChanges(
            at_us=at_us, matched_us=at_us, seen=tuple(bytes([n]) * 16 for n in range(events)), **changes
        ),
        steps=(CoreStep(signals=INCIDENT.signals, opened=(INCIDENT,), intents=(FREEZE,)),),
        judged={("local", "training.step", "new"): events, ("local", "training.step", "duplicate"): 1},
    )


def test_one_line_for_each_decision_in_the_order_in_which_they_came_about(out):
    """Signals, then the incident, then its intents; a dead letter and a fault are warnings of their own."""
    observer = Observer(VirtualClock(START_US), Metrics())
    letter = DeadLetter(at_us=START_US, source="local", topic="a/b", reason="not JSON", payload=b"x", id=0)
    observer.committed(batch(deadletters=(letter,)), commit_s=0.01)
    fault = Fault(owner="loss", field="where", reason="no such key", at_us=START_US, event_id="e")
    quiet = Batch(
        received=(), changes=BatchChanges(at_us=START_US, matched_us=START_US), steps=(CoreStep(faults=(fault,)),)
    )
    observer.committed(quiet, commit_s=0.01)
    said = [(line["event"], line["level"]) for line in lines(out)]
    decisions = ["signal"] * len(INCIDENT.signals) + ["incident opened", "intent"]
    assert [event for event, _ in said] == ["dead letter", *decisions, "fault"]
    assert dict(said)["dead letter"] == dict(said)["fault"] == "warning"


def test_what_an_incident_absorbs_is_one_line_for_a_batch_and_not_many_a_second(out):
    """However many signals: a flood is told of, not written down."""
    clock = VirtualClock(START_US)
    observer = Observer(clock, Metrics())

    def flood(upto):
        grown = [msgspec.structs.replace(INCIDENT, absorbed=number) for number in range(upto - 50, upto)]
        return Batch(
            received=(),
            changes=BatchChanges(at_us=START_US, matched_us=START_US),
            steps=tuple(CoreStep(updated=(each,)) for each in grown),
        )

    for upto in range(50, 1_050, 50):
        observer.committed(flood(upto), commit_s=0.01)
    said = lines(out)
    assert [line["event"] for line in said] == ["incident absorbed"] * SIGNAL_LINES_PER_S_MAX
    assert [line["absorbed"] for line in said[:2]] == [49, 99]

    async def later():
        await clock.advance_s(1)
        observer.committed(flood(2_000), commit_s=0.01)

    asyncio.run(later())
    assert lines(out)[-1]["left_out"] == 20 - SIGNAL_LINES_PER_S_MAX


def test_events_are_counted_once_and_their_lag_is_from_arrival_to_commit(out):
    """Duplicates are no new events; a batch that only a timer made changes neither count nor lag."""
    clock = VirtualClock(START_US)
    metrics = Metrics()
    observer = Observer(clock, metrics)
    observer.committed(batch(events=3, at_us=START_US - 2 * SECOND_US), commit_s=0.01)
    assert (observer.events_total, observer.lag_us) == (3, 2 * SECOND_US)
    timer = Batch(received=(), changes=BatchChanges(at_us=START_US, matched_us=START_US), steps=())
    observer.committed(timer, commit_s=0.01)
    assert (observer.events_total, observer.lag_us) == (3, 2 * SECOND_US)


def test_the_rate_is_that_of_the_last_ten_whole_seconds():
    """The second that runs is left out; what is older than ten seconds is forgotten."""
    clock = VirtualClock(START_US)
    observer = Observer(clock, Metrics())
    observer.committed(batch(events=50), commit_s=0.01)
    assert observer.events_per_s() == 0.0

    async def later():
        await clock.advance_s(1)
        assert observer.events_per_s() == 5.0
        await clock.advance_s(9)
        assert observer.events_per_s() == 5.0
        await clock.advance_s(1)
        assert observer.events_per_s() == 0.0

    asyncio.run(later())


def test_a_failed_commit_is_an_error_and_handed_on(out):
    """It is logged with its reason, and whoever asked to know is told."""
    told = []
    Observer(VirtualClock(), Metrics(), failed=told.append).commit_failed("the disk is full")
    [line] = lines(out)
    assert (line["level"], line["reason"]) == ("error", "the disk is full")
    assert told == ["the disk is full"]


@pytest.mark.parametrize(
    ("state", "counted"),
    [(IntentState.VERIFIED, 1), (IntentState.FAILED, 1), (IntentState.HELD, 0), (IntentState.APPLIED, 0)],
)
def test_a_step_is_counted_when_it_has_ended(state, counted):
    """Whatever its end; on the way there it is not."""

    class Counting(Metrics):
        settled_states = ()

        def settled(self, intent, state, *, latency_us):
            self.settled_states = (*self.settled_states, (intent.id, state, latency_us))

    metrics = Counting()
    Observer(VirtualClock(), metrics).moved(FREEZE, Move(to=state, at_us=FREEZE.trigger_us + 7))
    assert len(metrics.settled_states) == counted
    if counted:
        assert metrics.settled_states == ((FREEZE.id, state, 7),)

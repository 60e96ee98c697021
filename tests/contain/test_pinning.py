"""Recorded events around an incident to a copy that stays, on a real database and a virtual clock."""

from engine.clock import SECOND_US, Duration
from engine.config import RecorderConfig
from engine.model import Event
from engine.store.batch import BatchChanges, BatchLimits, commit_batch
from engine.store.pinned import pinned_of
from engine.store.recorder import RecorderLimits
from tests.support.acting import START_US, acting, incident, run

ONE = incident()


def event(number, second, subject="inc-1"):
    """An event of the incident's key (run=inc-1), so many seconds from its opening."""
    return Event(f"e{number}", "/s", "t", START_US + second * SECOND_US, subject)


async def commit(it, *events, opened=(), ring=1_000):
    """A batch with these events."""
    now_us = it.clock.now_us()
    batch = BatchChanges(at_us=now_us, matched_us=now_us, events=events, incidents=opened)
    limits = BatchLimits(recorder=RecorderLimits(events_max=ring), pin_after_us=60 * SECOND_US)
    await it.store.write(lambda db: commit_batch(db, batch, limits))


async def pinned(it):
    """The ids of the events that are kept, and how many were too many."""
    found = await it.store.read(lambda db: pinned_of(db, ONE.id))
    return [each.id for each in found.events], found.left_out


def test_what_came_before_is_kept_at_once_and_what_comes_after_a_while_on(tmp_path):
    """Of the incident's key and its time alone, though the ring goes on in between."""

    async def scenario():
        async with acting(tmp_path, recorder=RecorderConfig(before=Duration(100 * SECOND_US))) as it:
            await commit(it, event(1, -101), event(2, -100), event(3, -1, "other"), event(4, 0), opened=(ONE,))
            await it.pass_s(2)
            assert await pinned(it) == (["e2", "e4"], 0)
            await it.clock.advance_s(20)
            await commit(it, event(5, 20), event(6, 200), ring=1)
            await it.pass_s(45, step_s=5)
            assert await pinned(it) == (["e2", "e4", "e5"], 0)

    run(scenario())


def test_of_too_many_the_nearest_are_kept(tmp_path):
    """In the order of their times, and how many were left out is known."""

    async def scenario():
        config = RecorderConfig(pinned_events_max=3)
        async with acting(tmp_path, recorder=config) as it:
            await commit(it, *[event(number, -number) for number in range(10, 0, -1)], opened=(ONE,))
            await it.pass_s(2)
            assert await pinned(it) == (["e3", "e2", "e1"], 7)

    run(scenario())

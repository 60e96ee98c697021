"""A clock that is set: what is to come keeps its distance, on a real store with a real pipeline."""

import asyncio

import pytest

from engine.clock import SECOND_US, VirtualClock
from engine.clockwatch import ClockWatch
from engine.core import Core
from engine.intake.contract import Doors, Inbox
from engine.model import Event
from engine.pipeline import Pipeline, PipelineConfig
from engine.store import audit, state, timers
from engine.store.batch import BatchLimits
from engine.store.database import Store
from engine.store.seen import SeenIds
from engine.store.timers import Timer
from tests.support.rules import rules_of

HOUR_S = 3_600
RULES = """
[signal.silent]
on = "beat"
by = { k = "event.subject" }
detect = { method = "absence", for = "1m" }
[signal.a]
on = "a"
by = { k = "event.subject" }
[signal.never]
on = "never"
by = { k = "event.subject" }
[rule.silent]
incident = "availability"
severity = "low"
by = ["k"]
when = { any = ["silent"] }
[rule.waits]
incident = "fairness"
severity = "low"
by = ["k"]
when = { all = ["a"], none = ["never"], wait = "2m" }
"""


class Nobody:
    def committed(self, batch, *, commit_s):
        pass

    def commit_failed(self, reason):
        pass


class Stage:
    def __init__(self, store):
        self.store, self.clock, self.core = store, VirtualClock(), Core(rules_of(RULES))
        self.seen = SeenIds(horizon_us=HOUR_S * SECOND_US)
        self.pipeline = Pipeline(
            doors=Doors([], Inbox()),
            decoder=None,
            seen=self.seen,
            core=self.core,
            store=store,
            submit=lambda intents: None,
            watcher=Nobody(),
            clock=self.clock,
            config=PipelineConfig(batch_events_max=10, batch_age_us=0, commit_retry_us=SECOND_US, limits=BatchLimits()),
        )
        self.watch = ClockWatch(self.clock, store, self.pipeline, self.seen)

    def event(self, kind, subject="x"):
        now_us = self.clock.now_us()
        return self.core.event(Event(f"{kind}{now_us}", "s", kind, now_us, subject), now_us)

    def tick(self):
        return [each.incident for each in self.core.tick(self.clock.now_us()).opened]


def play(tmp_path, scenario):
    async def all_of_it():
        store = await Store.open(tmp_path / "halon.db")
        try:
            await scenario(Stage(store))
        finally:
            await store.close()

    asyncio.run(all_of_it())


def test_an_hour_forwards_is_no_silence_and_no_end_of_a_wait(tmp_path):
    """What was to come in some seconds comes in some seconds, and what comes after the jump is on its own time."""

    async def scenario(stage):
        stage.event("beat")
        stage.event("a")
        await stage.clock.advance_s(50)
        stage.clock.jump_s(HOUR_S)
        before_us = stage.clock.now_us()
        assert stage.tick() == [], "the clock does not show it yet"
        await stage.watch.look()
        assert stage.clock.now_us() == before_us + HOUR_S * SECOND_US
        assert stage.tick() == []
        stage.event("beat", "later")
        await stage.clock.advance_s(9)
        assert stage.tick() == []
        await stage.clock.advance_s(1)
        assert stage.tick() == ["availability"]
        await stage.clock.advance_s(50)
        assert stage.tick() == ["availability"], "the key that was seen after the jump"
        await stage.clock.advance_s(10)
        assert stage.tick() == ["fairness"]

    play(tmp_path, scenario)


def test_what_was_put_off_is_durable(tmp_path):
    """A restart after the jump finds the later time."""

    async def scenario(stage):
        stage.event("beat")
        await stage.pipeline.change_core(lambda core: None)
        stage.clock.jump_s(HOUR_S)
        await stage.watch.look()
        again = Core(rules_of(RULES))
        assert await stage.store.read(lambda connection: again.restore(state.load(connection))) == []
        assert again.next_due_us() == stage.core.next_due_us() == stage.clock.now_us() + 60 * SECOND_US

    play(tmp_path, scenario)


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_times_in_the_store_keep_their_distance(tmp_path, jump_s):
    """Forwards and back; it is in the audit log, once."""

    async def scenario(stage):
        due_us = stage.clock.now_us() + 10 * SECOND_US
        await stage.store.write(lambda connection: timers.put(connection, Timer(name="t", due_us=due_us)))
        stage.clock.jump_s(jump_s)
        await stage.watch.look()
        await stage.watch.look()
        assert await stage.store.read(timers.next_due_us) == stage.clock.now_us() + 10 * SECOND_US
        records = await stage.store.read(audit.records)
        assert [(each.kind, each.body) for each in records] == [("clock.jumped", {"by_us": jump_s * SECOND_US})]

    play(tmp_path, scenario)


def test_ids_are_remembered_as_long_as_before(tmp_path):
    """A message that comes again right after a jump is known."""

    async def scenario(stage):
        stage.seen.add(b"x" * 16, stage.clock.now_us())
        stage.clock.jump_s(2 * HOUR_S)
        await stage.watch.look()
        assert not stage.seen.add(b"x" * 16, stage.clock.now_us())
        stage.seen.add(b"y" * 16, stage.clock.now_us())
        assert not stage.seen.add(b"x" * 16, stage.clock.now_us())

    play(tmp_path, scenario)


def test_without_a_jump_nothing_is_written(tmp_path):
    """The usual case, twice a second."""

    async def scenario(stage):
        await stage.watch.look()
        assert await stage.store.read(audit.records) == []

    play(tmp_path, scenario)


def test_an_hour_back_leaves_no_key_unheard(tmp_path):
    """Events that were stamped on arrival lie in a time to come: their silence is counted from the new time."""

    async def scenario(stage):
        stage.event("beat")
        stage.event("a")
        await stage.clock.advance_s(30)
        stage.tick()
        stage.clock.jump_s(-HOUR_S)
        await stage.watch.look()
        stage.event("beat")
        await stage.clock.advance_s(59)
        assert stage.tick() == []
        await stage.clock.advance_s(1)
        assert stage.tick() == ["availability"]
        await stage.clock.advance_s(30)
        assert stage.tick() == ["fairness"]

    play(tmp_path, scenario)

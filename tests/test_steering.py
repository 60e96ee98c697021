"""engine.steering: what operators tell the daemon, on a real store, the real core and the real engine of acting."""

import asyncio
from contextlib import asynccontextmanager

import msgspec

from engine.config import Config
from engine.contain.guards import PAUSE_FILE
from engine.core import Core
from engine.diagnostics import error
from engine.intake.contract import Doors, Inbox
from engine.intake.doorkeeper import DoorKeeper
from engine.intake.feed import Feed
from engine.intake.formats import Formats
from engine.model import LeaseState
from engine.observer import Observer
from engine.operate.contract import Done, Handed, NotDone, NotFound, Taken
from engine.operate.metrics import Metrics
from engine.pipeline import Pipeline, PipelineConfig
from engine.reload import Parts, Reading, Reload
from engine.running import Running
from engine.steering import Steer
from engine.store import audit, deadletters, incidents
from engine.store.batch import BatchLimits
from engine.store.deadletters import DeadLetter
from engine.store.errors import StoreBusyOrFull
from engine.store.seen import SeenIds, digest
from engine.tending import Tending
from tests.support.acting import START_US, World, acting, holding, incident, intent
from tests.support.rules import rules_of

RULES = '[signal.bad]\non = "x.bad"\nby = { run = "event.subject" }\n'
MORE = RULES + '[signal.worse]\non = "x.worse"\n'


PIPELINE = PipelineConfig(batch_events_max=10, batch_age_us=0, commit_retry_us=1, limits=BatchLimits())
NO_DOORS = Config(mqtt=())


class Stage:
    """A daemon without doors, steered."""

    def __init__(self, acting, world, readings):
        config = Config()
        self.acting, self.world = acting, world
        self.core = Core(rules_of(RULES))
        inbox, seen = Inbox(), SeenIds(horizon_us=1)
        feed = Feed(inbox, acting.clock, known=lambda event: digest(event.source, event.id) in seen)
        doors = Doors([feed], inbox)
        self.pipeline = Pipeline(
            doors=doors,
            decoder=Formats(config),
            seen=seen,
            core=self.core,
            store=acting.store,
            submit=acting.contain.submit,
            watcher=Observer(acting.clock, Metrics()),
            clock=acting.clock,
            config=PIPELINE,
        )

        async def read():
            found = readings.pop(0)
            if isinstance(found, OSError):
                raise found
            return found

        observer, running = Observer(acting.clock, Metrics()), Running(config)
        keeper = DoorKeeper(doors, inbox, acting.clock)
        self.announced = []
        reload = Reload(
            Parts(
                store=acting.store,
                core=self.core,
                seen=seen,
                pipeline=self.pipeline,
                keeper=keeper,
                observer=observer,
            ),
            running,
            read=read,
            reconfigure=lambda _: None,
            pipeline_config=lambda _: PIPELINE,
            pages=lambda _: {},
            announce=self.announced.append,
            clock=acting.clock,
        )
        tending = Tending(
            running=running,
            store=acting.store,
            core=self.core,
            pipeline=self.pipeline,
            contain=acting.contain,
            clock=acting.clock,
        )
        acting.contain.recovered = tending.close_recovered
        self.steer = Steer(
            version="0",
            pid=1,
            running=running,
            reload=reload,
            store=acting.store,
            core=self.core,
            pipeline=self.pipeline,
            contain=acting.contain,
            tending=tending,
            doors=doors,
            feed=feed,
            clock=acting.clock,
            observer=observer,
        )

    async def state(self, of):
        return await self.acting.store.read(lambda connection: incidents.state_of(connection, of.id))

    async def acts(self):
        """(kind, who) of what is audited as steering."""
        records = await self.acting.store.read(lambda connection: audit.records(connection))
        return [(each.kind, each.body["who"]) for each in records if each.kind.startswith(("steering.", "rules."))]


def play(tmp_path, scenario, *readings):
    @asynccontextmanager
    async def stage():
        world = World()
        async with acting(tmp_path, holding(world)) as engine:
            yield Stage(engine, world, list(readings))

    async def run():
        async with stage() as made:
            await scenario(made)

    asyncio.run(run())


def test_a_released_lease_is_gone_at_the_target_and_cannot_be_released_again(tmp_path):
    """Done with what was read back; then NotDone; and of a lease that never was, NotFound."""

    async def scenario(stage):
        await stage.acting.decide(intent(incident()))
        await stage.acting.finish()
        [lease] = await stage.acting.leases()
        assert isinstance(await stage.steer.release_lease(lease.id, who="ada", reason="mistake"), Done)
        assert stage.world.held == set()
        again = await stage.steer.release_lease(lease.id, who="ada", reason="")
        assert isinstance(again, NotDone)
        assert isinstance(await stage.steer.release_lease("lease-none", who="ada", reason=""), NotFound)
        [gone] = await stage.acting.leases(LeaseState.RELEASED)
        assert gone.id == lease.id
        assert await stage.acts() == [("steering.release", "ada")]

    play(tmp_path, scenario)


def test_a_release_that_the_target_refuses_is_not_done(tmp_path):
    """What was not read back as undone is never called released."""

    async def scenario(stage):
        await stage.acting.decide(intent(incident()))
        await stage.acting.finish()
        [lease] = await stage.acting.leases()
        stage.world.undo_script.append("conflict")
        refused = await stage.steer.release_lease(lease.id, who="ada", reason="")
        assert isinstance(refused, NotDone)
        assert "someone else" in refused.reason
        assert stage.world.held == {"a"}

    play(tmp_path, scenario)


def test_a_step_that_waits_is_approved_or_denied_once(tmp_path):
    """An approved one acts; a denied one never does; neither can be decided again."""

    async def scenario(stage):
        yes, no = (
            intent(incident("inc-1"), target="a", approve=True),
            intent(incident("inc-2"), target="b", approve=True),
        )
        await stage.acting.decide(yes, no)
        await stage.acting.settle()
        assert stage.world.effects == []
        assert isinstance(await stage.steer.approve(yes.id, who="ada"), Done)
        assert isinstance(await stage.steer.deny(no.id, who="bob", reason="planned"), Done)
        await stage.acting.finish()
        assert stage.world.effects == ["a"]
        assert isinstance(await stage.steer.approve(no.id, who="ada"), NotDone)
        assert isinstance(await stage.steer.deny(yes.id, who="ada", reason=""), NotDone)
        assert isinstance(await stage.steer.approve("int-none", who="ada"), NotFound)

    play(tmp_path, scenario)


def test_paused_is_paused_until_it_is_resumed(tmp_path):
    """While acting is paused nothing is done; resuming does what was held back. Both are on record."""

    async def scenario(stage):
        assert isinstance(await stage.steer.pause(who="ada", reason="drill"), Done)
        await stage.acting.decide(intent(incident()))
        await stage.acting.pass_s(5)
        assert stage.world.effects == []
        assert isinstance(await stage.steer.resume(who="bob"), Done)
        await stage.acting.finish()
        assert stage.world.effects == ["a"]
        assert ("steering.pause", "ada") in await stage.acts()

    play(tmp_path, scenario)


def test_a_pause_file_cannot_be_resumed_from_the_socket(tmp_path):
    """Who laid the file takes it away; the answer says so."""

    async def scenario(stage):
        (tmp_path / PAUSE_FILE).touch()
        answer = await stage.steer.resume(who="ada")
        assert isinstance(answer, NotDone)
        assert PAUSE_FILE in answer.reason

    play(tmp_path, scenario)


def test_good_rules_take_over_and_bad_ones_leave_the_old_ones(tmp_path):
    """A refused set comes back as diagnostics and stays in the status until a good one is loaded."""

    async def scenario(stage):
        refused = await stage.steer.reload(who="ada")
        assert isinstance(refused, NotDone)
        assert [each.code for each in refused.diagnostics] == ["H012"]
        assert set(stage.core.rules.signals) == {"bad"}
        assert (await stage.steer.status()).rules.error
        unread = await stage.steer.reload(who="ada")
        assert isinstance(unread, NotDone)
        assert "gone" in unread.reason
        assert isinstance(await stage.steer.reload(who="bob"), Done)
        assert set(stage.core.rules.signals) == {"bad", "worse"}
        assert (await stage.steer.status()).rules.error == ""
        assert await stage.acts() == [("rules.refused", "ada"), ("rules.refused", "ada"), ("rules.loaded", "bob")]

    bad = Reading(rules=None, diagnostics=(error("H012", "unknown action `x`"),), config=NO_DOORS)
    good = Reading(rules=rules_of(MORE), diagnostics=(), config=NO_DOORS)
    play(tmp_path, scenario, bad, OSError("the folder is gone"), good)


def test_a_dead_letter_is_dropped_once(tmp_path):
    """Done and on record; the second time there is none."""

    async def scenario(stage):
        letter = DeadLetter(at_us=START_US, source="s", topic="t", reason="r", payload=b"", id=0)
        await stage.acting.store.write(lambda connection: deadletters.put(connection, letter, kept_max=9))
        assert isinstance(await stage.steer.drop_deadletter(1, who="ada"), Done)
        assert isinstance(await stage.steer.drop_deadletter(1, who="ada"), NotFound)
        assert await stage.acts() == [("steering.drop-deadletter", "ada")]

    play(tmp_path, scenario)


EVENT = b'{"specversion":"1.0","id":"e-1","source":"s","type":"x.bad","subject":"run-7"}'


def letter(payload, size=-1):
    return DeadLetter(
        at_us=START_US, source="local", topic="halon/events/a", reason="r", payload=payload, payload_bytes=size
    )


def test_a_dead_letter_that_is_an_event_by_now_is_taken_in_and_gone(tmp_path):
    """Its events go the way of all events first; then the letter goes, with a record of who tried it again."""

    async def scenario(stage):
        await stage.acting.store.write(lambda connection: deadletters.put(connection, letter(EVENT), kept_max=9))
        flowing = asyncio.ensure_future(stage.pipeline.run())
        taken = await stage.steer.retry_deadletter(1, who="ada")
        assert taken == Done("dead letter 1 is taken: 1 new event")
        assert await stage.acting.store.read(lambda connection: deadletters.count(connection)) == 0
        assert ("steering.retry-deadletter", "ada") in await stage.acts()
        assert isinstance(await stage.steer.retry_deadletter(1, who="ada"), NotFound)
        await stage.acting.store.write(lambda connection: deadletters.put(connection, letter(EVENT), kept_max=9))
        again = await stage.steer.retry_deadletter(2, who="ada")
        assert again == Done("dead letter 2 is taken: 0 new events, 1 seen before")
        stage.pipeline.stop()
        await flowing

    play(tmp_path, scenario)


def test_a_dead_letter_that_is_still_no_event_or_was_cut_stays(tmp_path):
    """The answer says why, and nothing is handed in."""

    async def scenario(stage):
        for each in (letter(b"{"), letter(EVENT, size=1_000_000)):
            await stage.acting.store.write(lambda connection, each=each: deadletters.put(connection, each, kept_max=9))
        still = await stage.steer.retry_deadletter(1, who="ada")
        assert isinstance(still, NotDone)
        assert "still no event: not JSON" in still.reason
        cut = await stage.steer.retry_deadletter(2, who="ada")
        assert isinstance(cut, NotDone)
        assert f"only {len(EVENT)} of its 1000000 bytes" in cut.reason
        assert await stage.acting.store.read(lambda connection: deadletters.count(connection)) == 2
        assert await stage.acts() == []

    play(tmp_path, scenario)


def handed(*events, enforce=True, first=True, last=True):
    return Handed(
        events=tuple(map(msgspec.Raw, events)), recording="a.jsonl", run="r1", first=first, last=last, enforce=enforce
    )


def test_a_recording_is_taken_in_only_where_it_may_act(tmp_path):
    """A daemon that enforces wants to hear that it is meant; begin and end of a run are on record."""

    async def scenario(stage):
        refused = await stage.steer.hand_in(handed(EVENT, enforce=False), who="ada")
        assert isinstance(refused, NotDone)
        assert "--enforce" in refused.reason
        wrong = await stage.steer.hand_in(handed(EVENT, b"{}"), who="ada")
        assert isinstance(wrong, NotDone)
        assert "event 1 of the batch" in wrong.reason
        assert await stage.acts() == []
        flowing = asyncio.ensure_future(stage.pipeline.run())
        assert await stage.steer.hand_in(handed(EVENT, last=False), who="ada") == Taken(new=1, duplicates=0)
        assert await stage.steer.hand_in(handed(EVENT, first=False), who="ada") == Taken(new=0, duplicates=1)
        assert await stage.steer.hand_in(handed(first=False, last=False), who="ada") == Taken(new=0, duplicates=0)
        assert await stage.acts() == [("steering.replay-began", "ada"), ("steering.replay-ended", "ada")]
        stage.pipeline.stop()
        await flowing

    play(tmp_path, scenario)


def test_nothing_is_swapped_while_the_store_takes_nothing_and_nothing_breaks_for_it(tmp_path, monkeypatch):
    """A reload by a signal has nobody to raise an error to: it is told in the answer, the status and the log."""

    async def scenario(stage):
        stage.pipeline.commit_failing = "disk full"
        refused = await stage.steer.reload(who="SIGHUP")
        assert isinstance(refused, NotDone)
        assert "disk full" in refused.reason
        assert set(stage.core.rules.signals) == {"bad"}
        stage.pipeline.commit_failing = ""

        async def full(function):
            raise StoreBusyOrFull("disk full")

        monkeypatch.setattr(stage.acting.store, "write", full)
        unrecorded = await stage.steer.reload(who="SIGHUP")
        assert isinstance(unrecorded, NotDone)
        assert "disk full" in (await stage.steer.status()).rules.error

    bad = Reading(rules=None, diagnostics=(error("H012", "unknown action `x`"),), config=NO_DOORS)
    play(tmp_path, scenario, bad)

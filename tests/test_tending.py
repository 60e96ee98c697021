"""engine.tending: what people say of incidents and of the watch list, on a real store, core and engine of acting."""

import asyncio

import msgspec
import pytest

from engine.clock import SECOND_US, Duration
from engine.config import Config, IncidentsConfig
from engine.core import Core
from engine.intake.contract import Doors, Inbox
from engine.intake.formats import Formats
from engine.model import Event, IncidentState, LeaseState, Phase, Resolution
from engine.observer import Observer
from engine.operate.contract import Advance, Close, Done, NotDone, NotFound, WatchKey
from engine.operate.metrics import Metrics
from engine.pipeline import Pipeline, PipelineConfig
from engine.running import Running
from engine.store import audit, incidents, watches
from engine.store.batch import BatchLimits
from engine.store.seen import SeenIds
from engine.tending import Tending
from tests.support.acting import World, acting, holding, intent
from tests.support.rules import rules_of

RULES = """
[signal.bad]
on = "bad"
by = { run = "event.subject" }
detect = { method = "count", at_least = 2, within = "1h" }
watched = { at_least = 1 }
[rule.r]
incident = "data-poisoning"
severity = "high"
by = ["run"]
when = { any = ["bad"] }
[rule.slow]
incident = "availability"
severity = "low"
by = ["run"]
when = { any = ["slow"] }
[signal.slow]
on = "slow"
by = { run = "event.subject" }
"""
DAY_US = 86_400 * SECOND_US


class Stage:
    """A daemon's core, store and engine of acting, fed with events by hand."""

    def __init__(self, it, world, config):
        self.it, self.world = it, world
        self.core = Core(rules_of(RULES))
        self.pipeline = Pipeline(
            doors=Doors([], Inbox()),
            decoder=Formats(Config()),
            seen=SeenIds(horizon_us=1),
            core=self.core,
            store=it.store,
            submit=it.contain.submit,
            watcher=Observer(it.clock, Metrics()),
            clock=it.clock,
            config=PipelineConfig(batch_events_max=10, batch_age_us=0, commit_retry_us=1, limits=BatchLimits()),
        )
        self.tend = Tending(
            running=Running(Config(incidents=config)),
            store=it.store,
            core=self.core,
            pipeline=self.pipeline,
            contain=it.contain,
            clock=it.clock,
        )
        it.contain.recovered = self.tend.close_recovered
        self.count = 0

    async def event(self, kind="bad", times=1):
        """Something bad happens to run-7, so many times."""
        for _ in range(times):
            self.count += 1
            event = Event(f"e{self.count}", "/s", kind, self.it.clock.now_us(), "run-7")
            await self.pipeline.change_core(lambda core, event=event: core.event(event, self.it.clock.now_us()))

    async def only(self):
        """The one incident that there is."""
        [found] = await self.it.store.read(incidents.find)
        return found

    async def audited(self):
        """The kinds of the audit records."""
        assert await self.it.store.read(audit.verify) is None
        return [each.kind for each in await self.it.store.read(lambda db: audit.records(db))]


def play(tmp_path, scenario, *actions, config=None):
    async def all_of_it():
        world = World()
        async with acting(tmp_path, holding(world), *actions, incidents=config or IncidentsConfig()) as it:
            await scenario(Stage(it, world, config or IncidentsConfig()))

    asyncio.run(all_of_it())


def test_a_resolved_incident_is_watched_and_comes_again_as_itself(tmp_path):
    """Closed, its key is on the watch list, so that one event is enough; it is open again, with its id."""

    async def scenario(stage):
        await stage.event(times=2)
        first = await stage.only()
        closed = await stage.tend.close(first.id, Close(Resolution.RESOLVED, "restored"), who="ann")
        assert isinstance(closed, Done)
        assert "run=run-7 is watched for 1d" in closed.detail
        await stage.it.clock.advance_s(60)
        await stage.event()
        again = await stage.only()
        assert (again.id, again.state, again.reopened) == (first.id, IncidentState.OPEN, 1)
        assert "incident.open" in await stage.audited()

    play(tmp_path, scenario)


@pytest.mark.parametrize("resolution", [Resolution.FALSE_POSITIVE, Resolution.DUPLICATE, Resolution.ACCEPTED_RISK])
def test_what_was_no_incident_is_neither_watched_nor_reopened(tmp_path, resolution):
    """Unless the config says so, new evidence makes a new incident."""

    async def scenario(stage):
        await stage.event(times=2)
        first = await stage.only()
        assert isinstance(await stage.tend.close(first.id, Close(resolution), who="ann"), Done)
        assert await stage.it.store.read(watches.find) == []
        await stage.event(times=2)
        found = await stage.it.store.read(incidents.find)
        assert len(found) == 2
        assert all(each.reopened == 0 for each in found)

    play(tmp_path, scenario)


def test_a_false_positive_is_reopened_where_the_config_says_so(tmp_path):
    """`incidents.reopen` lists after which resolutions."""

    async def scenario(stage):
        await stage.event(times=2)
        first = await stage.only()
        await stage.tend.close(first.id, Close(Resolution.FALSE_POSITIVE), who="ann")
        await stage.event(times=2)
        assert (await stage.only()).reopened == 1

    play(tmp_path, scenario, config=IncidentsConfig(reopen=(Resolution.FALSE_POSITIVE,)))


def test_long_after_closing_it_is_another_incident(tmp_path):
    """Past `incidents.reopen_within`; and past `watch_for` its key is as any other."""

    async def scenario(stage):
        await stage.event(times=2)
        await stage.tend.close((await stage.only()).id, Close(Resolution.RESOLVED), who="ann")
        await stage.it.clock.advance_s(121)
        await stage.event()
        assert (await stage.only()).state is IncidentState.CLOSED
        await stage.event()
        assert len(await stage.it.store.read(incidents.find)) == 2

    minutes = Duration(60 * SECOND_US)
    play(tmp_path, scenario, config=IncidentsConfig(reopen_within=minutes, watch_for=minutes))


def test_acknowledged_and_advanced_by_hand_until_it_is_closed(tmp_path):
    """An incident without a playbook goes by people's words; each is on record, what is not true is refused."""

    async def scenario(stage):
        await stage.event(times=2)
        one = (await stage.only()).id
        assert isinstance(await stage.tend.acknowledge(one, who="ann", reason="on it"), Done)
        assert (await stage.only()).acked_by == "ann"
        assert isinstance(await stage.tend.advance(one, Advance(), who="ann"), NotDone)
        refused = await stage.tend.advance(one, Advance(IncidentState.CONTAINED, "unplugged"), who="ann")
        assert "what Halon read back" in refused.reason
        assert isinstance(await stage.tend.advance(one, Advance(reason="unplugged"), who="ann"), Done)
        assert isinstance(await stage.tend.advance(one, Advance(), who="ann"), Done)
        assert (await stage.only()).state is IncidentState.RECOVERING
        assert "halon incidents close" in (await stage.tend.advance(one, Advance(), who="ann")).reason
        assert isinstance(await stage.tend.close(one, Close(Resolution.RESOLVED, watch_us=0), who="ann"), Done)
        assert await stage.it.store.read(watches.find) == []
        assert (
            "closed already, as resolved" in (await stage.tend.close(one, Close(Resolution.RESOLVED), who="ann")).reason
        )
        assert isinstance(await stage.tend.acknowledge(one, who="ann", reason=""), NotDone)
        assert [each for each in await stage.audited() if each.startswith("incident.")] == [
            "incident.opened",
            "incident.acknowledged",
            "incident.investigating",
            "incident.recovering",
            "incident.closed",
        ]

    play(tmp_path, scenario)


def test_what_does_not_exist_is_not_found(tmp_path):
    """With where to look."""

    async def scenario(stage):
        for act in (
            stage.tend.acknowledge("inc-none", who="ann", reason=""),
            stage.tend.advance("inc-none", Advance(), who="ann"),
            stage.tend.close("inc-none", Close(Resolution.RESOLVED), who="ann"),
            stage.tend.reopen("inc-none", who="ann", reason="x"),
            stage.tend.unwatch(WatchKey({"model": "m"}), who="ann"),
        ):
            assert isinstance(await act, NotFound)

    play(tmp_path, scenario)


def test_a_duplicate_names_the_other(tmp_path):
    """One that exists, is another, and goes with that resolution."""

    async def scenario(stage):
        await stage.event(times=2)
        await stage.event("slow")
        slow, bad = sorted((each.id, each.incident) for each in await stage.it.store.read(incidents.find))
        one, other = slow[0], bad[0]
        for wanted, answer in (
            (Close(Resolution.RESOLVED, duplicate_of=other), NotDone),
            (Close(Resolution.DUPLICATE, duplicate_of=one), NotDone),
            (Close(Resolution.DUPLICATE, duplicate_of="inc-none"), NotFound),
            (Close(Resolution.DUPLICATE, duplicate_of=other), Done),
        ):
            assert isinstance(await stage.tend.close(one, wanted, who="ann"), answer)
        closed = await stage.it.store.read(lambda db: incidents.get(db, one))
        assert (closed.resolution, closed.duplicate_of) == ("duplicate", other)

    play(tmp_path, scenario)


def test_a_person_opens_a_closed_incident_again(tmp_path):
    """Unless another of its type and key is open by then; its clock runs anew."""

    async def scenario(stage):
        await stage.event(times=2)
        one = (await stage.only()).id
        assert isinstance(await stage.tend.reopen(one, who="ann", reason="oops"), NotDone)
        await stage.tend.close(one, Close(Resolution.FALSE_POSITIVE), who="ann")
        assert isinstance(await stage.tend.reopen(one, who="ann", reason="oops"), Done)
        assert (await stage.only()).state is IncidentState.OPEN
        assert [each.id for each in stage.core.open_incidents()] == [one]
        await stage.tend.close(one, Close(Resolution.FALSE_POSITIVE), who="ann")
        await stage.event(times=2)
        refused = await stage.tend.reopen(one, who="ann", reason="oops")
        assert "is open; close it as a duplicate first" in refused.reason

    play(tmp_path, scenario)


def test_the_watch_list_is_changed_by_hand_and_survives_a_restart(tmp_path):
    """It is in the store, the core and the audit log at once; nothing is not a key."""

    async def scenario(stage):
        key = {"run": "run-7"}
        assert isinstance(await stage.tend.watch(WatchKey({}), who="ann"), NotDone)
        assert isinstance(await stage.tend.watch(WatchKey(key, for_us=DAY_US, reason="odd"), who="ann"), Done)
        await stage.event()
        assert len(stage.core.open_incidents()) == 1
        stage.core = stage.tend._core = Core(rules_of(RULES))
        await stage.tend.restore()
        step = stage.core.event(Event("f1", "/s", "bad", stage.it.clock.now_us(), "run-7"), stage.it.clock.now_us())
        assert len(step.opened) == 1
        assert isinstance(await stage.tend.unwatch(WatchKey(key), who="ann"), Done)
        assert [each for each in await stage.audited() if each.startswith("watch.")] == ["watch.added", "watch.ended"]

    play(tmp_path, scenario)


def test_what_was_watched_for_its_time_leaves_the_list(tmp_path):
    """By itself, on record."""

    async def scenario(stage):
        await stage.tend.watch(WatchKey({"run": "run-7"}, for_us=60 * SECOND_US), who="ann")
        await stage.it.pass_s(62, step_s=5)
        assert await stage.it.store.read(watches.find) == []
        assert "watch.ended" in await stage.audited()

    play(tmp_path, scenario)


def test_what_has_recovered_is_closed_by_itself_where_the_config_says_so(tmp_path):
    """Every recover step verified: resolved, its leases ended, its key watched."""
    config = IncidentsConfig(close_recovered=True)

    async def scenario(stage):
        await stage.event(times=2)
        one = await stage.only()

        made = [intent(one, 0, target=each.value, phase=each) for each in Phase]
        await stage.it.decide(*made, of=msgspec.structs.replace(one, signals=()))
        await stage.it.finish()
        await stage.it.pass_s(3)
        closed = await stage.only()
        assert (closed.state, closed.resolution) == (IncidentState.CLOSED, "resolved")
        assert stage.world.held == set()
        assert stage.world.undone == ["recover", "investigate", "contain"]
        assert [lease.state for lease in await stage.it.leases(*LeaseState)] == [LeaseState.RELEASED] * 3
        assert len(await stage.it.store.read(watches.find)) == 1

    play(tmp_path, scenario, config=config)

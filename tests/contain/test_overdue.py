"""The life of an incident as a timeline: its states, its deadlines, what is said of a missed one, over restarts too."""

import pytest

from engine.clock import SECOND_US, Duration, VirtualClock
from engine.config import EscalationConfig, GuardsConfig, IncidentsConfig
from engine.contain.environment import Cause
from engine.model import IncidentState, IntentState, Mode, Phase
from engine.store import deadlines, happenings, notices
from engine.store.happenings import What
from engine.store.intents import Hold
from tests.support.acting import World, acting, holding, incident, intent, run

MINUTE = 60
LEVELS = (
    EscalationConfig(after=Duration(0), channel="on-call"),
    EscalationConfig(after=Duration(15 * MINUTE * SECOND_US), channel="on-call", level="failure"),
    EscalationConfig(after=Duration(3_600 * SECOND_US), channel="lead", level="failure"),
)
INCIDENTS = IncidentsConfig(escalation=LEVELS)
ONE = incident()


def steps(**changes):
    """A step for each phase, each on its own target."""
    return [intent(ONE, 0, target=phase.value, phase=phase, **changes) for phase in Phase]


async def states(it):
    """The states that the incident went through, with who moved it."""
    found = await it.store.read(lambda db: happenings.of_incident(db, ONE.id))
    return [(each.what.value, each.who) for each in found if each.what.value in set(IncidentState)]


async def said(it):
    """(minute, phase, level) of each deadline that was said to be missed."""
    found = await it.store.read(lambda db: happenings.of_incident(db, ONE.id))
    return [
        ((each.at_us - ONE.opened_us) // (MINUTE * SECOND_US), each.body["phase"], each.body["level"])
        for each in found
        if each.what is What.DEADLINE_MISSED
    ]


def test_an_incident_goes_from_open_to_recovering_as_its_steps_are_verified(tmp_path):
    """Each transition is by rule, in order, with what began as its reason."""

    async def scenario():
        async with acting(tmp_path, holding(World())) as it:
            await it.decide(*steps(), of=ONE)
            await it.finish()
            assert await states(it) == [
                ("open", "halon"),
                ("contained", "halon"),
                ("investigating", "halon"),
                ("recovering", "halon"),
            ]
            assert (await it.incident(ONE)).contained_us is not None

    run(scenario())


def test_recovery_waits_for_an_investigation_that_failed_until_a_person_says_otherwise(tmp_path):
    """The step is held with the reason, until the incident is moved to `recovering`."""

    async def scenario():
        world = World()
        world.script.extend(["ok", "fail"])
        async with acting(tmp_path, holding(world)) as it:
            made = steps()
            await it.decide(*made, of=ONE)
            await it.finish()
            held = await it.record(made[2])
            assert (held.state, held.hold) == (IntentState.HELD, Hold.INVESTIGATION)
            assert "investigate step 1 (fake.hold) was failed" in held.reason
            assert (await it.incident(ONE)).state is IncidentState.INVESTIGATING
            await it.contain.advance(ONE.id, None, who="ann", reason="seen by hand")
            await it.finish()
            assert await it.state(made[2]) is IntentState.VERIFIED
            assert (await states(it))[-1] == ("recovering", "ann")

    run(scenario())


def test_a_missed_deadline_is_said_again_with_growing_urgency_and_no_further_than_its_levels(tmp_path):
    """On time, to each level's channel; then never again."""

    async def scenario():
        world = World()
        world.script.append("fail")
        async with acting(tmp_path, holding(world), incidents=INCIDENTS) as it:
            await it.decide(intent(ONE), of=ONE)
            await it.pass_s(2 * 3_600 - 1, step_s=30)
            assert await said(it) == [(15, "contain", 1), (30, "contain", 2), (75, "contain", 3)]
            sent = await it.store.read(lambda db: notices.of_incident(db, ONE.id))
            assert [(each.channel, each.level, each.title.split("]")[0]) for each in sent] == [
                ("on-call", "warning", "[1/3"),
                ("on-call", "failure", "[2/3"),
                ("lead", "failure", "[3/3"),
            ]
            assert [each.cause for each in it.told].count(Cause.DEADLINE) == 3
            assert "and 1h have passed since" in it.told[-1].reason

    run(scenario())


def test_what_passed_while_the_daemon_was_down_is_said_once_at_the_level_that_it_has_reached(tmp_path):
    """A restart in mid-life says nothing twice, leaves nothing out, and goes on with the clock."""

    async def scenario():
        world, clock = World(), VirtualClock()
        world.script.append("fail")
        async with acting(tmp_path, holding(world), incidents=INCIDENTS, clock=clock) as it:
            await it.decide(intent(ONE), of=ONE)
            await it.pass_s(16 * MINUTE, step_s=30)
            assert await said(it) == [(15, "contain", 1)]
        await clock.advance_s(24 * MINUTE)
        async with acting(tmp_path, holding(world), incidents=INCIDENTS, clock=clock) as it:
            await it.pass_s(5, step_s=1)
            assert await said(it) == [(15, "contain", 1), (40, "contain", 2)]
            await it.pass_s(40 * MINUTE, step_s=30)
            assert await said(it) == [(15, "contain", 1), (40, "contain", 2), (75, "contain", 3)]

    run(scenario())


def test_a_deadline_that_was_kept_says_nothing(tmp_path):
    """Contained in time: the next one is the investigation's."""

    async def scenario():
        async with acting(tmp_path, holding(World()), incidents=INCIDENTS) as it:
            await it.decide(intent(ONE), of=ONE)
            await it.pass_s(3 * 3_600 - 5 * 60, step_s=60)
            assert [each[1:] for each in await said(it)] == [("investigate", 1), ("investigate", 2)]
            first = (await it.store.read(lambda db: deadlines.of_incident(db, ONE.id)))[0]
            assert first.met_us is not None
            assert first.missed_us is None

    run(scenario())


def test_while_only_observing_nobody_is_written_to(tmp_path):
    """The miss is recorded all the same."""

    async def scenario():
        guards = GuardsConfig(mode=Mode.OBSERVE)
        async with acting(tmp_path, holding(World()), incidents=INCIDENTS, guards=guards) as it:
            await it.decide(intent(ONE), of=ONE)
            await it.pass_s(16 * MINUTE, step_s=30)
            assert await said(it) == [(15, "contain", 1)]
            assert await it.store.read(lambda db: notices.of_incident(db, ONE.id)) == []

    run(scenario())


@pytest.mark.parametrize("again", [True, False])
def test_lost_containment_opens_the_incident_and_starts_its_clock_anew(tmp_path, again):
    """Put back in force later it is contained again, and goes on to where it was."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), incidents=INCIDENTS) as it:
            made = steps()[:2]
            await it.decide(*made, of=ONE)
            await it.finish()
            await it.contain.pause(who="ann")
            world.held.discard("contain")
            await it.pass_s(60)
            assert (await it.incident(ONE)).state is IncidentState.OPEN
            due = (await it.store.read(lambda db: deadlines.of_incident(db, ONE.id)))[0]
            assert due.met_us is None
            assert due.due_us > ONE.opened_us + 15 * MINUTE * SECOND_US
            assert [lease.lost for lease in await it.leases()].count(True) == 1
            if again:
                world.held.add("contain")
                await it.pass_s(60)
                assert (await it.incident(ONE)).state is IncidentState.INVESTIGATING
                assert not any(lease.lost for lease in await it.leases())

    run(scenario())


def test_a_lease_that_ends_under_an_incident_ends_its_containment(tmp_path):
    """By expiry as by hand: what is not in force does not contain."""

    async def scenario():
        async with acting(tmp_path, holding(World()), incidents=INCIDENTS) as it:
            await it.decide(intent(ONE, hold_us=600 * SECOND_US), of=ONE)
            await it.finish()
            assert (await it.incident(ONE)).state is IncidentState.CONTAINED
            await it.pass_s(610, step_s=10)
            assert (await it.incident(ONE)).state is IncidentState.OPEN
            last = (await it.store.read(lambda db: happenings.of_incident(db, ONE.id)))[-2:]
            assert any("has expired" in each.reason for each in last)

    run(scenario())


def test_closing_lets_go_of_the_leases_the_last_one_first(tmp_path):
    """In the reverse order of their being put in force; one that cannot be ended does not keep the others."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(*[intent(ONE, place, target=name) for place, name in enumerate("abc")], of=ONE)
            await it.finish()
            world.undo_script.extend(["ok", "conflict", "ok"])
            ended = await it.close(ONE.id)
            assert world.undone == ["c", "a"]
            assert [lease.state.value for lease in ended] == ["released", "conflict", "released"]

    run(scenario())


def test_what_a_closing_did_not_let_go_of_is_let_go_of_at_the_next_start(tmp_path):
    """The daemon may end between the two."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(intent(ONE), of=ONE)
            await it.finish()
            it.contain.let_go = None
            with pytest.raises(TypeError):
                await it.close(ONE.id)
            assert world.held == {"a"}
        async with acting(tmp_path, holding(world)) as it:
            await it.finish()
            await it.pass_s(2)
            assert world.held == set()

    run(scenario())

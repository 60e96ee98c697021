"""Single steps on a real SQLite file and a scriptable action: every answer it can give, and what becomes of it."""

import pytest

from engine.config import GuardsConfig
from engine.contain.environment import Cause
from engine.model import IncidentState, IntentState, LeaseState, Mode, Verdict
from tests.support.acting import World, acting, holding, incident, intent, run

S = IntentState


def test_a_step_that_is_read_back_is_verified_leased_and_contains_its_incident(tmp_path):
    """Applied and read back from the target: verified, a lease, and the incident contained; in that order on disk."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world)) as it:
            one = intent(incident())
            await it.decide(one)
            await it.finish()
            record = await it.record(one)
            assert (record.state, world.effects) == (S.VERIFIED, ["a"])
            assert record.receipt == {"prior": False, "by": "apply"}
            stations = record.stations
            assert stations.event_us == one.trigger_us
            assert None not in (stations.durable_us, stations.applying_us, stations.applied_us, stations.verified_us)
            (lease,) = await it.leases()
            assert (lease.state, lease.holders, lease.receipt) == (LeaseState.IN_FORCE, ("inc-1",), record.receipt)
            known = await it.incident(incident())
            assert (known.state, known.contained_us) == (IncidentState.CONTAINED, stations.verified_us)
            assert await it.audited() == [
                "incident.opened",
                "intent.intended",
                "intent.applying",
                "intent.applied",
                "intent.verified",
                "lease.acquired",
                "incident.contained",
            ]
            assert it.told == []

    run(scenario())


@pytest.mark.parametrize(
    ("script", "state", "effects", "tries"),
    [
        (["retryable", "retryable"], S.VERIFIED, 1, 3),
        (["retryable"] * 3, S.FAILED, 0, 3),
        (["fail"], S.FAILED, 0, 1),
        (["throw"], S.FAILED, 0, 1),
        (["nonsense"], S.FAILED, 0, 1),
        (["refuse"], S.REFUSED, 0, 1),
        (["lose"], S.UNVERIFIED, 0, 1),
        (["hang", "hang", "hang"], S.FAILED, 0, 3),
        (["hang"], S.VERIFIED, 1, 2),
        (["hang-after"], S.VERIFIED, 1, 1),
        (["throw-after"], S.VERIFIED, 1, 1),
        (["fail-after"], S.VERIFIED, 1, 1),
    ],
)
def test_what_apply_does_decides_the_outcome(tmp_path, script, state, effects, tries):
    """Only what is proven not to have happened is tried again; anything else is read back; nothing is done twice."""

    async def scenario():
        world = World()
        world.script.extend(script)
        async with acting(tmp_path, holding(world)) as it:
            one = intent(incident())
            await it.decide(one)
            await it.finish()
            assert await it.state(one) is state
            assert (len(world.effects), len(world.order)) == (effects, tries)
            contained = (await it.incident(incident())).state is IncidentState.CONTAINED
            assert contained is (state is S.VERIFIED)
            assert [each.cause.value for each in it.told] == ([] if contained else [state.value])

    run(scenario())


def test_an_effect_that_cannot_be_read_back_is_in_doubt_and_can_be_let_go_of(tmp_path):
    """Unreadable after apply: never contained, but the lease is kept in doubt, and releasing it undoes the effect."""

    async def scenario():
        world = World()
        world.unreadable = 3
        async with acting(tmp_path, holding(world)) as it:
            one = intent(incident())
            await it.decide(one)
            await it.finish()
            assert await it.state(one) is S.UNVERIFIED
            assert (await it.incident(incident())).state is IncidentState.OPEN
            (lease,) = await it.leases()
            assert lease.state is LeaseState.CONFLICT
            assert (await it.contain.release(lease.id, who="ann")).state is LeaseState.RELEASED
            assert world.held == set()

    run(scenario())


@pytest.mark.parametrize(
    ("check", "state"),
    [(["retryable"] * 2, S.VERIFIED), (["retryable"] * 3, S.FAILED), (["refuse"], S.REFUSED), (["throw"], S.FAILED)],
)
def test_what_check_finds_decides_whether_anything_is_done(tmp_path, check, state):
    """A check that finds no way leads to no act."""

    async def scenario():
        world = World()
        world.check_script.extend(check)
        async with acting(tmp_path, holding(world)) as it:
            one = intent(incident())
            await it.decide(one)
            await it.finish()
            assert await it.state(one) is state
            assert bool(world.effects) is (state is S.VERIFIED)

    run(scenario())


@pytest.mark.parametrize(
    ("action", "params", "part"),
    [
        ("fake.hold", {"name": "a", "size": "many"}, "size"),
        ("fake.hold", {}, "name"),
        ("fake.hold", {"name": "a", "more": 1}, "more"),
        ("fake.nothing", {}, "no such action"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_with_the_reason(tmp_path, action, params, part):
    """A template can turn out wrong at execution: the step is refused and says what does not fit."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world)) as it:
            one = intent(incident(), action=action, params=params)
            await it.decide(one)
            await it.finish()
            record = await it.record(one)
            assert record.state is S.REFUSED
            assert part in record.reason
            assert world.checks == 0

    run(scenario())


def test_a_number_written_as_text_is_taken_as_the_number(tmp_path):
    """`"${event.data.pid}"` gives text; the action gets the number."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world)) as it:
            one = intent(incident(), params={"name": "a", "size": "17"})
            await it.decide(one)
            await it.finish()
            assert await it.state(one) is S.VERIFIED

    run(scenario())


@pytest.mark.parametrize("how", ["verdict", "mode"])
def test_observing_checks_and_writes_down_what_would_be_done(tmp_path, how):
    """In observe mode only `check` runs; the incident is never called contained."""

    async def scenario():
        world = World()
        guards = GuardsConfig(mode=Mode.OBSERVE if how == "mode" else Mode.ENFORCE)
        async with acting(tmp_path, holding(world), guards=guards) as it:
            one = intent(incident(), verdict=Verdict.OBSERVE if how == "verdict" else Verdict.ENFORCE)
            await it.decide(one)
            await it.finish()
            record = await it.record(one)
            assert (record.state, record.reason) == (S.OBSERVED, "would hold a")
            assert (world.checks, world.order) == (1, [])
            assert (await it.incident(incident())).state is IncidentState.OPEN
            assert await it.leases() == []

    run(scenario())


def test_an_effect_found_in_place_is_adopted_and_left_as_it_was_found(tmp_path):
    """What someone else put in place before is contained, leased, and not undone when the lease ends."""

    async def scenario():
        world = World()
        world.held.add("a")
        async with acting(tmp_path, holding(world)) as it:
            one = intent(incident())
            await it.decide(one)
            await it.finish()
            assert await it.state(one) is S.VERIFIED
            (lease,) = await it.leases()
            assert lease.adopted
            assert (await it.contain.release(lease.id, who="ann")).state is LeaseState.RELEASED
            assert (world.held, world.undone, world.effects) == ({"a"}, [], [])

    run(scenario())


def test_an_irreversible_step_is_verified_without_a_lease(tmp_path):
    """There is nothing to let go of where nothing can be undone."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world, reversible=False)) as it:
            one = intent(incident())
            await it.decide(one)
            await it.finish()
            assert await it.state(one) is S.VERIFIED
            assert await it.leases() == []

    run(scenario())


def test_a_failure_is_told_with_its_cause(tmp_path):
    """What did not contain is escalated, naming the step and the reason."""

    async def scenario():
        world = World()
        world.script.append("throw")
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(intent(incident()))
            await it.finish()
            (told,) = it.told
            assert (told.cause, told.incident) == (Cause.FAILED, "inc-1")
            assert "RuntimeError: boom" in told.reason

    run(scenario())

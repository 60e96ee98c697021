"""Leases on a real SQLite file and virtual time: expiry, release, conflict, drift."""

import pytest

from engine.clock import SECOND_US, Duration
from engine.config import BudgetConfig, ContainConfig, GuardsConfig
from engine.contain.environment import Cause
from engine.contain.steering import NotPossible
from engine.model import IncidentState, LeaseState
from engine.store import audit
from tests.support.acting import World, acting, holding, incident, intent, run


def test_a_lease_ends_when_its_time_is_over_and_not_before(tmp_path):
    """`hold = "1m"`: undone after a minute, from the receipt."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(intent(incident(), hold_us=60 * SECOND_US))
            await it.finish()
            await it.pass_s(58)
            assert world.held == {"a"}
            await it.pass_s(3)
            assert (world.held, world.undone) == (set(), ["a"])
            (lease,) = await it.leases(LeaseState.RELEASED)
            assert lease.detail == "let go"

    run(scenario())


def test_paused_acting_lets_no_lease_expire(tmp_path):
    """Letting go is acting too: it happens once acting goes on."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(intent(incident(), hold_us=60 * SECOND_US))
            await it.finish()
            await it.contain.pause(who="ann")
            await it.pass_s(90)
            assert world.held == {"a"}
            await it.contain.resume(who="ann")
            await it.pass_s(2)
            assert world.held == set()

    run(scenario())


@pytest.mark.parametrize(
    ("undo", "state", "undone"),
    [
        ([], LeaseState.RELEASED, ["a"]),
        (["retryable"], LeaseState.RELEASED, ["a"]),
        (["conflict"], LeaseState.CONFLICT, []),
        (["fail"], LeaseState.CONFLICT, []),
        (["lie"], LeaseState.CONFLICT, []),
    ],
)
def test_what_undo_answers_decides_whether_a_lease_is_released(tmp_path, undo, state, undone):
    """A lease is called released only when the effect is read back as gone; what is in doubt stays listed and told."""

    async def scenario():
        world = World()
        world.undo_script.extend(undo)
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(intent(incident(), hold_us=SECOND_US))
            await it.finish()
            await it.pass_s(5)
            (lease,) = await it.leases(*LeaseState)
            assert (lease.state, world.undone) == (state, undone)
            told = [each.cause for each in it.told]
            assert told == ([] if state is LeaseState.RELEASED else [Cause.LEASE])

    run(scenario())


def test_an_undo_that_failed_is_tried_again_later_but_a_conflict_is_left(tmp_path):
    """A target that could not be reached is asked again in five minutes; what someone else changed is not touched."""

    async def scenario():
        for answer, released in [("fail", True), ("conflict", False)]:
            world = World()
            world.undo_script.append(answer)
            folder = tmp_path / answer
            folder.mkdir()
            async with acting(folder, holding(world)) as it:
                await it.decide(intent(incident(), hold_us=SECOND_US))
                await it.finish()
                await it.pass_s(400, step_s=20)
                assert (world.held == set()) is released

    run(scenario())


def test_releasing_what_is_not_there_says_so(tmp_path):
    """An unknown lease is an error for the operator, not a success."""

    async def scenario():
        async with acting(tmp_path, holding(World())) as it:
            with pytest.raises(NotPossible, match="no lease lease-x"):
                await it.contain.release("lease-x", who="ann")

    run(scenario())


def test_a_released_lease_can_be_taken_again(tmp_path):
    """The same action on the same target has the same lease id; the second time is a fresh lease."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(intent(incident("inc-1")))
            await it.finish()
            (lease,) = await it.leases()
            await it.contain.release(lease.id, who="ann")
            await it.decide(intent(incident("inc-2")))
            await it.finish()
            (again,) = await it.leases()
            assert (again.id, again.holders, again.drifts) == (lease.id, ("inc-2",), 0)
            assert world.effects == ["a", "a"]

    run(scenario())


QUICK = ContainConfig(reconcile_every=Duration(10 * SECOND_US), reapply_max=2)


def test_what_someone_undid_is_put_in_place_again_and_recorded_as_drift(tmp_path):
    """The reconciler reads live leases back and re-applies; the audit log says so before and after."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), contain=QUICK) as it:
            await it.decide(intent(incident()))
            await it.finish()
            world.held.clear()
            await it.pass_s(15)
            assert (world.held, world.effects) == ({"a"}, ["a", "a"])
            (lease,) = await it.leases()
            assert (lease.state, lease.drifts) == (LeaseState.IN_FORCE, 1)
            assert [kind for kind in await it.audited() if kind.startswith("lease.")] == [
                "lease.acquired",
                "lease.drifted",
                "lease.reapplied",
            ]
            assert [each.cause for each in it.told] == [Cause.DRIFT]

    run(scenario())


def test_what_is_undone_again_and_again_is_given_up_and_no_longer_called_contained(tmp_path):
    """After `reapply_max` times someone is told, the lease is in doubt, and the incident is open again."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), contain=QUICK) as it:
            await it.decide(intent(incident()))
            await it.finish()
            for _ in range(4):
                world.held.clear()
                await it.pass_s(15)
            assert len(world.effects) == 3
            (lease,) = await it.leases()
            assert lease.state is LeaseState.CONFLICT
            known = await it.incident(incident())
            assert (known.state, known.contained_us) == (IncidentState.OPEN, None)
            assert "it is not applied again" in it.told[-1].reason

    run(scenario())


@pytest.mark.parametrize(
    ("limits", "says"),
    [({"per_hour_max": 2}, "acted on within the hour"), ({"serving_min": 0.5}, "left serving")],
)
def test_putting_back_is_acting_and_stays_within_the_budget(tmp_path, limits, says):
    """What someone undid is not applied again past the budget; it is said, and done once there is room."""

    async def scenario():
        world = World()
        world.share = lambda _: 1.0
        guards = GuardsConfig(budget={"training": BudgetConfig(**limits)})
        async with acting(tmp_path, holding(world), contain=QUICK, guards=guards) as it:
            await it.decide(intent(incident()))
            await it.finish()
            if "per_hour_max" in limits:
                world.held.clear()
                await it.pass_s(15)
                assert world.effects == ["a", "a"]
            world.share = lambda _: 0.25
            world.held.clear()
            done = len(world.effects)
            await it.pass_s(40)
            (lease,) = await it.leases()
            assert (len(world.effects), world.held, lease.state) == (done, set(), LeaseState.IN_FORCE)
            assert says in lease.detail
            assert (await it.incident(incident())).state is IncidentState.OPEN
            world.share = lambda _: 1.0
            await it.pass_s(3_600, step_s=20)
            assert world.held == {"a"}
            assert len(world.effects) == done + 1

    run(scenario())


@pytest.mark.parametrize("how", ["paused", "apply fails"])
def test_a_drift_that_is_not_mended_is_said_once_and_not_called_contained(tmp_path, how):
    """Where the guards or the target keep it from being applied again, it is told, once."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), contain=QUICK) as it:
            await it.decide(intent(incident()))
            await it.finish()
            world.held.clear()
            if how == "paused":
                await it.contain.pause(who="ann")
            else:
                world.script.extend(["fail"])
            await it.pass_s(12)
            assert world.held == set()
            assert (await it.incident(incident())).state is IncidentState.OPEN
            assert len(it.told) == 1

    run(scenario())


def test_a_target_that_cannot_be_read_is_told_after_three_readings(tmp_path):
    """One failed reading is noise, three in a row are news; nothing is applied on a guess."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), contain=QUICK) as it:
            await it.decide(intent(incident()))
            await it.finish()
            world.unreadable = 100
            await it.pass_s(25)
            assert it.told == []
            await it.pass_s(30)
            assert [each.cause for each in it.told] == [Cause.DRIFT]
            assert world.effects == ["a"]

    run(scenario())


def test_a_missed_deadline_is_told(tmp_path):
    """An incident that is not contained within 15 minutes escalates, once, with an audit record."""

    async def scenario():
        world = World()
        world.script.append("fail")
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(intent(incident()))
            await it.finish()
            it.told.clear()
            await it.pass_s(1_000, step_s=100)
            assert [(each.cause, each.reason) for each in it.told] == [
                (Cause.DEADLINE, "it is not contained within 15m; said 1 of 4 times")
            ]
            last = (await it.store.read(audit.records))[-1]
            assert last.kind == "incident.deadline-missed"

    run(scenario())

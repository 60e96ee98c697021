"""Guards on a real SQLite file: pause, protected targets, budgets over rules and restarts, approvals and overrides."""

import pytest

from engine.cel.contract import CelFault
from engine.clock import SECOND_US, Duration
from engine.config import BudgetConfig, GuardsConfig
from engine.contain.environment import Cause
from engine.contain.steering import NotPossible
from engine.model import IncidentState, IntentState, Verdict
from engine.store import intents
from engine.store.intents import Hold
from tests.support.acting import World, acting, holding, incident, intent, run

S = IntentState


def budget(**limits: float) -> GuardsConfig:
    """Guards with one budget for training targets."""
    return GuardsConfig(budget={"training": BudgetConfig(**limits)})


def many(count: int) -> list:
    """One intent each of so many incidents, on as many targets."""
    return [intent(incident(f"inc-{number}"), target=f"t{number}") for number in range(count)]


@pytest.mark.parametrize("fault", [False, True])
def test_a_protected_target_is_never_acted_on(tmp_path, fault):
    """The step is held with the reason, told, not approvable; a condition that cannot be evaluated protects too."""

    def protected(target):
        if fault:
            raise CelFault("no such key: labels.x")
        return target.name == "a"

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), protected=protected) as it:
            one = intent(incident())
            await it.decide(one)
            await it.finish()
            record = await it.record(one)
            assert (record.state, record.hold) == (S.HELD, Hold.PROTECTED)
            assert "guards.protected" in record.reason
            assert [told.cause for told in it.told] == [Cause.HELD]
            with pytest.raises(NotPossible, match="protected"):
                await it.contain.approve(one.id, who="ann")
            await it.pass_s(5)
            assert (world.order, world.held) == ([], set())
            assert (await it.incident(incident())).state is IncidentState.OPEN

    run(scenario())


def test_held_max_is_never_passed_however_many_come_at_once(tmp_path):
    """Twelve incidents decided together, three places: three are held, the others wait with the reason."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), guards=budget(held_max=3)) as it:
            steps = many(12)
            await it.decide(*steps)
            await it.finish()
            states = [await it.state(each) for each in steps]
            assert (states.count(S.VERIFIED), states.count(S.HELD), len(world.held)) == (3, 9, 3)
            waiting = next(each for each, state in zip(steps, states, strict=True) if state is S.HELD)
            record = await it.record(waiting)
            assert record.hold is Hold.BUDGET
            assert "held_max is 3" in record.reason

    run(scenario())


def test_a_place_that_frees_up_goes_to_one_that_waited(tmp_path):
    """When a lease ends, a held step acts, and no more than one takes the place."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), guards=budget(held_max=1)) as it:
            steps = many(3)
            await it.decide(*steps)
            await it.finish()
            (lease,) = await it.leases()
            await it.contain.release(lease.id, who="ann")
            await it.pass_s(3)
            await it.finish()
            assert len(world.held) == 1
            assert len(world.effects) == 2

    run(scenario())


def test_budgets_survive_a_restart(tmp_path):
    """What was held before the restart still counts after it."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), guards=budget(held_max=1)) as it:
            await it.decide(many(2)[0])
            await it.finish()
        async with acting(tmp_path, holding(world), guards=budget(held_max=1)) as it:
            second = many(2)[1]
            await it.decide(second)
            await it.finish()
            assert await it.state(second) is S.HELD
            assert world.held == {"t0"}

    run(scenario())


def test_an_intent_found_in_applying_keeps_its_place(tmp_path):
    """A crash between reserving and acting must not hand the place to someone else."""

    async def scenario():
        world = World()
        world.script.append("hang")
        first, second = many(2)
        async with acting(tmp_path, holding(world), guards=budget(held_max=1)) as it:
            await it.decide(first)
            await it.settle()
            assert await it.state(first) is S.APPLYING
        async with acting(tmp_path, holding(world), guards=budget(held_max=1)) as it:
            await it.decide(second)
            await it.finish()
            assert (await it.state(first), await it.state(second)) == (S.VERIFIED, S.HELD)

    run(scenario())


def test_per_hour_max_counts_acts_of_the_last_hour(tmp_path):
    """The third act within an hour waits until the first one is an hour old."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), guards=budget(per_hour_max=2)) as it:
            steps = many(3)
            await it.decide(*steps)
            await it.finish()
            assert sorted([await it.state(each) for each in steps]) == [S.HELD, S.VERIFIED, S.VERIFIED]
            await it.pass_s(3_500, step_s=500)
            assert len(world.effects) == 2
            await it.pass_s(200, step_s=50)
            await it.finish()
            assert len(world.effects) == 3

    run(scenario())


def test_serving_min_keeps_a_share_of_a_pool_serving(tmp_path):
    """Ten endpoints of a pool, four fifths must serve: two are taken out, whatever was checked at the same time."""

    async def scenario():
        world = World()
        world.share = lambda name: 1 - len(world.held | {name}) / 10
        async with acting(tmp_path, holding(world), guards=budget(serving_min=0.8)) as it:
            steps = many(10)
            await it.decide(*steps)
            await it.finish()
            assert len(world.held) == 2
            held = [await it.record(each) for each in steps if await it.state(each) is S.HELD]
            assert {record.hold for record in held} == {Hold.SERVING}
            (lease, _) = await it.leases()
            await it.contain.release(lease.id, who="ann")
            await it.pass_s(3)
            await it.finish()
            assert len(world.held) == 2

    run(scenario())


def test_an_action_that_cannot_tell_the_share_is_held_where_one_is_asked_for(tmp_path):
    """Not knowing what is left serving is no reason to act."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), guards=budget(serving_min=0.5)) as it:
            one = intent(incident())
            await it.decide(one)
            await it.finish()
            assert (await it.record(one)).hold is Hold.SERVING

    run(scenario())


def test_an_operator_may_override_a_budget(tmp_path):
    """What a budget held back acts when a person says so, which the record shows."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), guards=budget(held_max=1)) as it:
            first, second = many(2)
            await it.decide(first)
            await it.finish()
            await it.decide(second)
            await it.finish()
            await it.contain.approve(second.id, who="ann")
            await it.finish()
            record = await it.record(second)
            assert (record.state, record.approved_by, record.override) == (S.VERIFIED, "ann", True)

    run(scenario())


def test_approving_a_step_that_asks_for_it_does_not_override_budgets(tmp_path):
    """`approve = true` is another question than the budget."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world), guards=budget(held_max=1)) as it:
            first, second = intent(incident("inc-1")), intent(incident("inc-2"), target="b", approve=True)
            await it.decide(first, second)
            await it.finish()
            await it.contain.approve(second.id, who="ann")
            await it.finish()
            assert (await it.record(second)).hold is Hold.BUDGET

    run(scenario())


@pytest.mark.parametrize("verdict", [Verdict.HOLD, Verdict.ENFORCE])
def test_a_step_that_waits_for_a_person_acts_once_approved(tmp_path, verdict):
    """Bound to the digest of exactly that intent; a wrong digest sets nothing free."""

    async def scenario():
        world = World()
        async with acting(tmp_path, holding(world)) as it:
            one = intent(incident(), approve=verdict is Verdict.ENFORCE, verdict=verdict)
            await it.decide(one)
            await it.finish()
            assert await it.state(one) is S.HELD
            with pytest.raises(NotPossible, match="not the intent that was shown"):
                await it.contain.approve(one.id, who="ann", digest="0" * 64)
            await it.contain.approve(one.id, who="ann", digest=intents.digest(one))
            await it.finish()
            assert await it.state(one) is S.VERIFIED
            with pytest.raises(NotPossible, match="verified"):
                await it.contain.approve(one.id, who="ann")

    run(scenario())


@pytest.mark.parametrize("how", ["denied", "timed out"])
def test_a_step_that_nobody_approves_is_refused(tmp_path, how):
    """Denied by a person, or by the time that passed; also when that time passed while the daemon was down."""

    async def scenario():
        world = World()
        guards = GuardsConfig(approval_timeout=Duration(60 * SECOND_US))
        async with acting(tmp_path, holding(world), guards=guards) as it:
            one = intent(incident(), approve=True)
            await it.decide(one)
            await it.finish()
            if how == "denied":
                await it.contain.deny(one.id, who="ann", reason="not this one")
            else:
                await it.pass_s(59)
                assert await it.state(one) is S.HELD
                await it.pass_s(3)
            record = await it.record(one)
            assert record.state is S.REFUSED
            assert ("not this one" if how == "denied" else "nobody approved it within 1m") in record.reason
            assert world.order == []

    run(scenario())


@pytest.mark.parametrize("how", ["command", "file"])
def test_pausing_stops_all_new_acting_and_resuming_goes_on(tmp_path, how):
    """By command or by touching a file: nothing acts, what was held back is listed; it stays so over a restart."""

    async def scenario():
        world = World()
        one = intent(incident())
        async with acting(tmp_path, holding(world)) as it:
            if how == "command":
                await it.contain.pause(who="ann")
            else:
                (tmp_path / "PAUSE").touch()
            await it.decide(one)
            await it.finish()
            assert (await it.record(one)).hold is Hold.PAUSE
        async with acting(tmp_path, holding(world)) as it:
            await it.pass_s(3)
            assert it.contain.paused
            assert world.order == []
            if how == "command":
                await it.contain.resume(who="ann")
            else:
                (tmp_path / "PAUSE").unlink()
                await it.pass_s(2)
            await it.finish()
            assert await it.state(one) is S.VERIFIED

    run(scenario())


def test_a_pause_also_stops_retries_and_what_was_found_in_applying(tmp_path):
    """Between two tries of a step acting is paused: it stays where it is, and goes on when resumed."""

    async def scenario():
        world = World()
        world.script.append("retryable")
        one = intent(incident())
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(one)
            await it.settle()
            await it.contain.pause(who="ann")
            await it.finish()
            assert (await it.state(one), len(world.order)) == (S.APPLYING, 1)
            await it.contain.resume(who="ann")
            await it.finish()
            assert (await it.state(one), world.effects) == (S.VERIFIED, ["a"])

    run(scenario())

"""Stopping the engine of acting between any two commits and at any await, and starting it again on the same file."""

import asyncio

import pytest

from engine.clock import VirtualClock
from engine.model import IncidentState, IntentState, LeaseState
from engine.store.database import Store
from tests.support.acting import World, acting, commit, holding, incident, intent, run, settle

S = IntentState


class Crash(Store):
    """A store whose process dies around its n-th write: before it commits, or after but before anyone hears of it."""

    writes_left = 10**9
    before = False

    async def write(self, function):
        self.writes_left -= 1
        if self.writes_left < 0:
            await asyncio.Event().wait()
        if self.writes_left == 0:
            if not self.before:
                await super().write(function)
            await asyncio.Event().wait()
        return await super().write(function)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("steps", "write"), [(1, 1), (1, 2), (1, 3), *((2, write) for write in range(1, 7))])
def test_dying_around_any_commit_gives_one_effect_and_a_verified_end(tmp_path, write, before, steps):
    """Whatever was committed last, the next start asks the target, finishes the steps, and does nothing twice."""

    async def scenario():
        world = World()
        decided = [intent(incident(), step, target=f"t{step}") for step in range(steps)]
        first = await Crash.open(tmp_path / "halon.db")
        await commit(first, *decided)
        first.writes_left, first.before = write, before
        async with acting(tmp_path, holding(world), store=first) as it:
            it.contain.submit(decided)
            await it.settle()
            assert first.writes_left == 0, "the crash did not happen"
        await first.close()
        async with acting(tmp_path, holding(world)) as it:
            await it.finish()
            assert [await it.state(each) for each in decided] == [S.VERIFIED] * steps
            assert world.effects == [f"t{step}" for step in range(steps)]
            assert (await it.incident(incident())).state is IncidentState.CONTAINED
            found = await it.leases()
            assert [lease.state for lease in found] == [LeaseState.IN_FORCE] * steps
            assert all(not lease.adopted for lease in found)
            await it.audited()

    run(scenario())


@pytest.mark.parametrize(("script", "effects_before"), [("hang", 0), ("hang-after", 1)])
def test_dying_inside_apply_gives_one_effect_and_a_verified_end(tmp_path, script, effects_before):
    """Killed while the action is at work, with or without its effect: the next start reads back before it acts."""

    async def scenario():
        world = World()
        world.script.append(script)
        one = intent(incident())
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(one)
            await it.settle()
            assert await it.state(one) is S.APPLYING
            assert len(world.effects) == effects_before
        async with acting(tmp_path, holding(world)) as it:
            await it.finish()
            assert await it.state(one) is S.VERIFIED
            assert world.effects == ["a"]
            (lease,) = await it.leases()
            assert lease.receipt["prior"] is False

    run(scenario())


def test_what_cannot_be_read_after_a_restart_is_unverified_and_not_done_again(tmp_path):
    """An intent found in `applying` whose target cannot be read may be in force: it is neither success nor repeated."""

    async def scenario():
        world = World()
        world.script.append("hang-after")
        one = intent(incident())
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(one)
            await it.settle()
        world.unreadable = 3
        async with acting(tmp_path, holding(world)) as it:
            await it.finish()
            assert await it.state(one) is S.UNVERIFIED
            assert world.effects == ["a"]
            assert (await it.incident(incident())).state is IncidentState.OPEN
            assert [lease.state for lease in await it.leases()] == [LeaseState.CONFLICT]

    run(scenario())


def test_a_lease_that_expired_while_down_ends_at_start(tmp_path):
    """Leases live on the wall clock: what ran out during the down time is let go of first thing."""

    async def scenario():
        world = World()
        one = intent(incident(), hold_us=3_600_000_000)
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(one)
            await it.finish()
            assert world.held == {"a"}
        async with acting(tmp_path, holding(world), clock=VirtualClock(one.at_us + 3_700_000_000)) as it:
            await it.settle()
            assert world.undone == ["a"]
            assert await it.leases() == []

    run(scenario())


@pytest.mark.parametrize("undone_already", [True, False])
def test_a_release_that_was_cut_short_is_finished_at_start(tmp_path, undone_already):
    """A lease found in `releasing` is read back, undone if it is still in force, and released; once."""

    async def scenario():
        world = World()
        one = intent(incident())
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(one)
            await it.finish()
        store = await Crash.open(tmp_path / "halon.db")
        async with acting(tmp_path, holding(world), store=store) as it:
            (lease,) = await it.leases()
            # Writes of a release: `releasing`, then `released`.
            store.writes_left, store.before = (2, True) if undone_already else (1, False)
            releasing = asyncio.ensure_future(it.contain.release(lease.id, who="ann"))
            await it.settle()
            releasing.cancel()
            assert (await it.leases())[0].state is LeaseState.RELEASING
        await store.close()
        async with acting(tmp_path, holding(world)) as it:
            await it.settle()
            assert await it.leases() == []
            assert world.undone == ["a"]

    run(scenario())


def test_stopping_parks_what_does_not_end_in_time_and_leaves_containment_in_force(tmp_path):
    """`stop` gives steps `stop_within`, then leaves them as the store has them; nothing is lifted."""

    async def scenario():
        world = World()
        done, stuck = intent(incident("inc-1")), intent(incident("inc-2"), target="b")
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(done)
            await it.finish()
            world.script.append("hang")
            await it.decide(stuck)
            await it.settle()
            await it.contain.stop()
            await it.pass_s(12)
            assert await it.state(stuck) is S.APPLYING
            assert world.held == {"a"}
        async with acting(tmp_path, holding(world)) as it:
            await it.finish()
            assert await it.state(stuck) is S.VERIFIED
            assert world.effects == ["a", "b"]

    run(scenario())


def test_an_intent_handed_in_twice_is_done_once(tmp_path):
    """The pipeline may hand an intent in again after a failed commit: its id is its idempotency key."""

    async def scenario():
        world = World()
        one = intent(incident())
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(one)
            await it.decide(one)
            await it.finish()
            it.contain.submit([one])
            await it.finish()
            await settle(it.store)
            assert world.effects == ["a"]
            assert len(world.order) == 1

    run(scenario())

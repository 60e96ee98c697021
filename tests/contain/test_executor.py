"""Steps of several incidents on a real SQLite file: order, parallelism, severity, what a failure does to the rest."""

import asyncio

import pytest

from engine.config import ContainConfig
from engine.model import IncidentState, IntentState, LeaseState, OnFailure, Phase, Severity
from tests.support.acting import World, acting, holding, incident, intent, run

S = IntentState


@pytest.mark.parametrize(
    ("on_failure", "states", "held"),
    [
        (OnFailure.STOP, [S.VERIFIED, S.FAILED, S.SKIPPED], {"t0"}),
        (OnFailure.CONTINUE, [S.VERIFIED, S.FAILED, S.VERIFIED], {"t0", "t2"}),
        (OnFailure.UNDO, [S.UNDONE, S.FAILED, S.SKIPPED], set()),
    ],
)
def test_a_failing_step_does_to_the_rest_what_it_says(tmp_path, on_failure, states, held):
    """`stop` gives the rest up, `continue` goes on, `undo` takes back what was applied; none of them is contained."""

    async def scenario():
        world = World()
        world.script.extend(["ok", "fail"])
        steps = [intent(incident(), step, target=f"t{step}", on_failure=on_failure) for step in range(3)]
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(*steps)
            await it.finish()
            assert [await it.state(each) for each in steps] == states
            assert world.held == held
            assert (await it.incident(incident())).state is IncidentState.OPEN

    run(scenario())


def test_undo_walks_the_applied_steps_backwards(tmp_path):
    """The last applied is the first taken back."""

    async def scenario():
        world = World()
        world.script.extend(["ok", "ok", "ok", "fail"])
        steps = [intent(incident(), step, target=f"t{step}", on_failure=OnFailure.UNDO) for step in range(4)]
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(*steps)
            await it.finish()
            assert world.undone == ["t2", "t1", "t0"]
            assert await it.leases() == []

    run(scenario())


def test_an_undo_that_fails_is_seen_and_does_not_keep_the_others_from_it(tmp_path):
    """The lease stays in doubt, the step is not called undone, the step before it is still taken back."""

    async def scenario():
        world = World()
        world.script.extend(["ok", "ok", "fail"])
        world.undo_script.append("fail")
        steps = [intent(incident(), step, target=f"t{step}", on_failure=OnFailure.UNDO) for step in range(3)]
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(*steps)
            await it.finish()
            assert [await it.state(each) for each in steps] == [S.UNDONE, S.VERIFIED, S.FAILED]
            assert [(lease.target.name, lease.state) for lease in await it.leases()] == [("t1", LeaseState.CONFLICT)]

    run(scenario())


def test_steps_on_one_target_run_one_at_a_time_and_join_one_lease(tmp_path):
    """Two incidents, one target: one effect, one lease with two holders, let go of when the last one goes."""

    async def scenario():
        world = World()
        one, two = intent(incident("inc-1")), intent(incident("inc-2"))
        async with acting(tmp_path, holding(world)) as it:
            world.gate = asyncio.Event()
            await it.decide(one, two)
            await it.settle()
            assert world.running == 1
            world.gate.set()
            await it.finish()
            assert (world.effects, world.running_max) == (["a"], 1)
            (lease,) = await it.leases()
            assert lease.holders == ("inc-1", "inc-2")
            assert not lease.adopted
            await it.close("inc-1", who="ann", resolution="resolved")
            assert world.held == {"a"}
            await it.close("inc-2", who="ann", resolution="resolved")
            assert world.undone == ["a"]
            assert await it.leases() == []

    run(scenario())


def test_different_targets_run_in_parallel_up_to_the_bound(tmp_path):
    """A step that takes long delays no other, up to `parallel_max`."""

    async def scenario():
        world = World()
        world.gate = asyncio.Event()
        async with acting(tmp_path, holding(world), contain=ContainConfig(parallel_max=3)) as it:
            await it.decide(*(intent(incident(f"inc-{number}"), target=f"t{number}") for number in range(8)))
            await it.settle()
            assert world.running == 3
            world.gate.set()
            await it.finish()
            assert len(world.effects) == 8

    run(scenario())


def test_a_hanging_step_delays_no_other(tmp_path):
    """While one action hangs for its whole time-out, a fresh incident is contained."""

    async def scenario():
        world = World()
        world.script.append("hang")
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(intent(incident("inc-1"), target="slow"))
            await it.settle()
            other = intent(incident("inc-2"), target="quick")
            await it.decide(other)
            await it.settle()
            assert await it.state(other) is S.VERIFIED

    run(scenario())


def test_the_higher_severity_goes_first(tmp_path):
    """With one slot, a critical incident decided last overtakes those that wait."""

    async def scenario():
        world = World()
        world.gate = asyncio.Event()
        async with acting(tmp_path, holding(world), contain=ContainConfig(parallel_max=1)) as it:
            for name, severity in [("low", Severity.LOW), ("medium", Severity.MEDIUM), ("critical", Severity.CRITICAL)]:
                await it.decide(intent(incident(f"inc-{name}", severity), target=name))
                await it.settle()
            world.gate.set()
            await it.finish()
            assert world.order.index("critical") < world.order.index("medium")

    run(scenario())


def test_phases_follow_each_other_and_recovery_waits_for_containment(tmp_path):
    """Investigation goes on where containment failed; recovery is held until the incident is contained."""

    async def scenario():
        world = World()
        world.script.append("fail")
        contain = intent(incident(), target="c")
        look = intent(incident(), target="i", phase=Phase.INVESTIGATE)
        recover = intent(incident(), target="r", phase=Phase.RECOVER)
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(contain, look, recover)
            await it.finish()
            assert [await it.state(each) for each in (contain, look, recover)] == [S.FAILED, S.VERIFIED, S.HELD]
            assert (await it.record(recover)).reason == "the incident is not contained"

    run(scenario())


def test_evidence_comes_before_what_destroys_it_and_its_failure_does_not_stop_containment(tmp_path):
    """A capture in the contain phase runs first; if it fails, that is seen, and the fire is put out all the same."""

    async def scenario():
        world, files = World(), World()
        files.script.append("fail")
        capture = holding(files, "evidence.capture", kind="evidence", reversible=False)
        first, second = intent(incident(), 0, target="x"), intent(incident(), 1, target="y", action="evidence.capture")
        async with acting(tmp_path, holding(world), capture) as it:
            await it.decide(first, second)
            await it.finish()
            assert [await it.state(each) for each in (first, second)] == [S.VERIFIED, S.FAILED]
            assert (await it.record(second)).updated_us <= (await it.record(first)).stations.applying_us
            assert (await it.incident(incident())).state is IncidentState.OPEN

    run(scenario())


def test_closing_an_incident_gives_up_what_was_not_begun(tmp_path):
    """The rest of a closed incident's steps is skipped."""

    async def scenario():
        world = World()
        first, held = intent(incident()), intent(incident(), 1, target="b", approve=True)
        async with acting(tmp_path, holding(world)) as it:
            await it.decide(first, held)
            await it.finish()
            assert await it.state(held) is S.HELD
            await it.close("inc-1", who="ann", resolution="false-positive")
            await it.finish()
            assert await it.state(held) is S.SKIPPED
            assert world.held == set()

    run(scenario())

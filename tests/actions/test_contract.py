"""The contract that every action of the table keeps, proved against its real target.

Each test runs once per action; `tests/actions/harness` holds the targets. An action without one fails here.
"""

import gc
import itertools
import logging
from contextlib import contextmanager

import msgspec
import pytest
import tomli

from actions.table import CATALOGUE
from engine.action import Action
from engine.clock import decode_hook
from engine.model import AlreadyInPlace, Applied, Conflict, Failed, InForce, NotInForce, Plan, Refused, Undone, Unknown
from tests.actions.harness import (
    agents,
    cloud,
    clusters,
    files,
    forensics,
    gateways,
    haproxy,
    limits,
    models,
    mosquitto,
    network,
    notices,
    postgres,
    process,
    programs,
    rays,
    redis,
    registries,
    slurm,
    units,
    vaults,
    web,
)
from tests.actions.harness.base import Run, Silence, folder

HARNESSES = [
    process.FreezeHarness,
    process.FreezeCgroupHarness,
    network.IsolateHarness,
    network.IsolatePortHarness,
    haproxy.DrainHarness,
    haproxy.DisableHarness,
    process.KillHarness,
    slurm.SuspendHarness,
    slurm.CancelHarness,
    slurm.HoldUserHarness,
    files.RotateTokenHarness,
    postgres.DisableLoginHarness,
    postgres.RotatePasswordHarness,
    redis.DisableUserHarness,
    redis.RotatePasswordHarness,
    mosquitto.DisableClientHarness,
    mosquitto.RotatePasswordHarness,
    models.QuarantineHarness,
    models.RestoreHarness,
    programs.RunHarness,
    web.RequestHarness,
    files.CaptureHarness,
    forensics.VerifyModelHarness,
    forensics.ScanPickleHarness,
    forensics.CompareWeightsHarness,
    forensics.FindPoisonHarness,
    forensics.CompareActivationsHarness,
    forensics.CheckGradientsHarness,
    forensics.FindAdversarialHarness,
    forensics.CompareSamplesHarness,
    forensics.FindWrongLabelsHarness,
    forensics.ScanPrivacyHarness,
    forensics.AuditMembershipHarness,
    forensics.MeasureBiasHarness,
    forensics.ValidateHarness,
    forensics.VerifySignatureHarness,
    notices.NotifyHarness,
    agents.PublishHarness,
    limits.RatelimitHarness,
    gateways.LitellmHarness,
    gateways.GenericHarness,
    units.StopUnitHarness,
    clusters.KubernetesIsolateHarness,
    clusters.ScaleHarness,
    clusters.CordonHarness,
    clusters.SuspendJobHarness,
    clusters.SuspendTrainJobHarness,
    clusters.SuspendPyTorchJobHarness,
    cloud.DisableAccessKeyHarness,
    cloud.RotateAccessKeyHarness,
    cloud.RotateSecretHarness,
    cloud.QuarantineInstanceHarness,
    cloud.StopTrainingJobHarness,
    vaults.RevokeLeaseHarness,
    vaults.RotateRoleHarness,
    rays.StopJobHarness,
    registries.RepointAliasHarness,
    registries.BlockVersionHarness,
]
AWAITS_MAX = 60
TARGET_KINDS = {"endpoint", "training", "credential", "model", "client", "evidence", "any"}


@pytest.fixture(scope="module", params=HARNESSES, ids=lambda each: f"{each.action}-{each.__name__}")
def served(request):
    """The target of one action, started for all tests."""
    with folder() as tmp:
        harness = request.param(tmp)
        with harness.serve():
            yield harness


@contextmanager
def watched(served):
    """A fresh target; at the end, nothing secret may have been said about it."""
    heard = Silence()
    root = logging.getLogger()
    level = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    runs = []
    served.run = lambda **options: runs.append(Run(served, **options)) or runs[-1]
    try:
        with served.fresh():
            before = list(served.hidden())
            yield served
            hidden = {*before, *served.hidden(), *served.secrets().values()} - {""}
    finally:
        root.removeHandler(heard)
        root.setLevel(level)
    said = "\n".join([*itertools.chain.from_iterable(run.said for run in runs), *heard.lines])
    assert not [secret for secret in hidden if secret in said], "a secret was said in a receipt, an outcome or a log"


@pytest.fixture
def harness(served):
    """A fresh target for one test."""
    with watched(served) as harness:
        yield harness


def planned(run):
    """A plan of something yet to be done."""
    plan = run.check()
    assert isinstance(plan, Plan), plan
    assert not plan.in_place, plan
    return plan


def test_every_action_has_a_real_target():
    """No action of the table goes unproved."""
    lacking = set(CATALOGUE.actions) - {each.action for each in HARNESSES}
    assert not lacking, f"write a harness in tests/actions/harness for {sorted(lacking)}"


@pytest.mark.parametrize("action", CATALOGUE.actions.values(), ids=CATALOGUE.actions)
def test_an_action_declares_what_operators_are_told(action):
    """Name, kind, privileges, docstring and example are there, and the example is a step that loads."""
    step = tomli.loads(f"step = {action.example}")["step"]
    assert step.pop("do") == action.name
    for key in ("hold", "timeout", "approve", "on_failure", "retries", "when"):
        step.pop(key, None)
    for key, value in list(step.items()):
        if isinstance(value, str) and value.startswith("${"):
            del step[key]
            assert key in {each.name for each in msgspec.structs.fields(action.params)}
    if not any("${" in str(value) for value in tomli.loads(f"s = {action.example}")["s"].values()):
        msgspec.convert(step, action.params, dec_hook=decode_hook)
    assert action.target_kind in TARGET_KINDS
    assert action.privileges
    assert action.__doc__
    assert action.__doc__ is not Action.__doc__
    assert action.reversible or "Irreversible: " in action.__doc__, "say why it can't be undone"
    assert (action.undo is not Action.undo) == action.reversible


@pytest.mark.parametrize("action", CATALOGUE.actions.values(), ids=CATALOGUE.actions)
def test_an_unknown_parameter_or_setting_is_refused(action):
    """Parameters and settings are strict, so a misspelt one is never ignored; no parameter can be a secret."""
    for struct in (action.params, action.settings):
        assert struct.__struct_config__.forbid_unknown_fields, f"{struct.__name__} takes unknown fields"
        assert struct.__struct_config__.frozen
        assert struct.__doc__, f"{struct.__name__} says nothing"
        for field in msgspec.structs.fields(struct):
            words = set(field.name.split("_"))
            if words & {"password", "token", "key", "secret"}:
                assert field.name.endswith(("_secret", "_file", "_id", "_env")), (
                    f"{field.name} would be written in a file"
                )


def test_check_changes_nothing(harness):
    """The dry run leaves the target as it was, and says what would be done."""
    before = harness.state()
    plan = planned(harness.run())
    assert harness.state() == before
    assert not harness.contained()
    assert plan.would
    assert plan.target.name
    assert plan.target.kind == CATALOGUE.actions[harness.action].target_kind or harness.action in {"exec.run"}


def test_a_probe_says_nothing_while_the_target_answers(harness):
    """`halon check --live` asks without a target: on a service that works it is silent and changes nothing."""
    before = harness.state()
    assert harness.run().probe() == ""
    assert harness.state() == before


def test_before_it_acts_it_is_not_in_force(harness):
    """Verify never claims what did not happen: with the plan's receipt it reads `not in force`."""
    run = harness.run()
    plan = planned(run)
    assert isinstance(run.verify(plan.receipt), NotInForce)


def test_applied_twice_it_has_one_effect(harness):
    """The first apply contains, verified from outside; the second finds it in place."""
    run = harness.run()
    plan = planned(run)
    first = run.apply(plan)
    assert isinstance(first, Applied), first
    assert isinstance(run.verify(first.receipt), InForce)
    assert isinstance(run.verify(plan.receipt), InForce), "the plan's receipt must do after a crash"
    assert harness.contained()
    after = harness.state()
    second = run.apply(plan)
    assert isinstance(second, AlreadyInPlace), second
    assert harness.state() == after
    if harness.counts_effects:
        assert harness.effects() == 1


# Client libraries that are cut off while they connect leave their socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("strike", ["cancelled", "killed"])
def test_interrupted_at_any_await_it_can_be_gone_over_again(served, strike):
    """Whatever await it is cancelled or killed at: verify, then apply if needed, reaches one verified effect."""
    first = 1 if strike == "cancelled" else min(2, served.stride)
    for place in range(first, AWAITS_MAX, served.stride):
        with watched(served):
            run = served.run()
            plan = planned(run)
            interrupt = run.apply_cancelled_at if strike == "cancelled" else run.apply_killed_at
            struck = interrupt(plan, place)
            receipt = plan.receipt
            if not isinstance(run.verify(receipt), InForce):
                outcome = run.apply(plan)
                assert isinstance(outcome, Applied | AlreadyInPlace), (place, outcome)
                receipt = outcome.receipt
            assert isinstance(run.verify(receipt), InForce), (place, receipt)
            assert served.contained(), place
            if served.counts_effects:
                assert served.effects() == 1, place
            if run.action.reversible:
                assert isinstance(run.undo(receipt), Undone)
                assert not served.contained()
        gc.collect()
        if not struck:
            break
        if place > 12 and served.action == "process.freeze":
            break  # it only waits for the kernel from here on
    else:
        raise AssertionError(f"more than {AWAITS_MAX} awaits")


def test_undo_gives_back_the_state_before(harness):
    """What was reversible is as it was."""
    run = harness.run()
    if not run.action.reversible:
        return
    before = harness.state()
    outcome = run.apply(planned(run))
    assert isinstance(outcome, Applied)
    assert harness.state() != before
    assert isinstance(run.undo(outcome.receipt), Undone)
    assert harness.state() == before
    assert not harness.contained()
    assert isinstance(run.verify(outcome.receipt), NotInForce)
    assert isinstance(run.undo(outcome.receipt), Undone | Conflict), "undoing twice does no harm"
    assert harness.state() == before


def test_what_was_in_place_before_is_left_by_undo(harness):
    """An effect that somebody else put in place is reported as such, and stays when the step is undone."""
    run = harness.run()
    if not run.action.reversible:
        return
    assert isinstance(run.apply(planned(run)), Applied)
    after = harness.state()
    second = run.other()
    plan = second.check()
    assert isinstance(plan, Plan)
    assert plan.in_place
    outcome = second.apply(plan)
    assert isinstance(outcome, AlreadyInPlace), outcome
    assert isinstance(second.undo(outcome.receipt), Undone | Conflict)
    assert harness.state() == after
    assert harness.contained()


def test_what_someone_undid_is_seen_and_put_back(harness):
    """Drift reads `not in force`, and apply puts the effect in place again."""
    run = harness.run()
    plan = planned(run)
    receipt = run.apply(plan).receipt
    if not harness.someone_undoes():
        return
    assert isinstance(run.verify(receipt), NotInForce)
    assert not harness.contained()
    again = run.apply(plan)
    assert isinstance(again, Applied), again
    assert isinstance(run.verify(again.receipt), InForce)
    assert harness.contained()


def test_undo_leaves_what_someone_else_changed(harness):
    """Where the target was changed by someone else since, undo says so and leaves it."""
    run = harness.run()
    if not run.action.reversible:
        return
    receipt = run.apply(planned(run)).receipt
    if not harness.someone_changes():
        return
    before = harness.state()
    assert isinstance(run.undo(receipt), Conflict)
    assert harness.state() == before


def test_each_failure_is_said_and_never_success(served):
    """Whatever goes wrong is a Failed or Refused whose text says what to do; nothing raises, nothing is claimed."""
    for index in itertools.count():
        with watched(served) as harness:
            failures = harness.failures()
            if index == len(failures):
                break
            failure = failures[index]
            run = harness.run(failure=failure)
            plan = run.check() if failure.at_apply else None
            assert plan is None or isinstance(plan, Plan), plan
            with failure.during():
                answer = plan or run.check()
                if isinstance(answer, Plan):
                    verified = run.verify(answer.receipt)
                    assert isinstance(verified, NotInForce | Unknown), (failure.label, verified)
                    answer = run.apply(answer)
            assert isinstance(answer, Failed | Refused), (failure.label, answer)
            text = answer.error if isinstance(answer, Failed) else answer.reason
            assert failure.says in text, (failure.label, text)
    assert index > 0, "a target that can't fail was not looked at closely"

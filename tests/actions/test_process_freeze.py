"""process.freeze beyond the contract: real processes that fork, die while stopped, or belong to others."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from actions.training import processes
from engine.model import Applied, Failed, InForce, NotInForce, Undone
from tests.actions.harness.base import Run, folder
from tests.actions.harness.process import FreezeHarness
from tests.support.wait import until


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_children_that_outlive_a_killed_root_are_let_go_on():
    """The receipt names each process that was stopped, so none stays stopped when the root is killed."""
    with folder() as tmp:
        harness = FreezeHarness(tmp)
        with harness.fresh():
            run = Run(harness)
            outcome = run.apply(run.check())
            child = harness.family[1]
            harness.process.kill()
            harness.process.wait()
            assert isinstance(run.verify(outcome.receipt), NotInForce)
            assert state(child) == "T"
            assert isinstance(run.undo(outcome.receipt), Undone)
            until(lambda: state(child) != "T", what="the child goes on")


def test_scope_process_stops_it_alone():
    """With scope = "process" the children run on."""
    with folder() as tmp:
        harness = FreezeHarness(tmp)
        harness.scope = "process"
        with harness.fresh():
            run = Run(harness)
            outcome = run.apply(run.check())
            root, child = harness.family
            assert isinstance(run.verify(outcome.receipt), InForce)
            assert state(root) == "T"
            assert state(child) != "T"


def test_what_was_stopped_before_stays_stopped():
    """A child that its owner had stopped is not let go on by undo."""
    with folder() as tmp:
        harness = FreezeHarness(tmp)
        with harness.fresh():
            root, child = harness.family
            os.kill(child, signal.SIGSTOP)
            until(lambda: state(child) == "T", what="the child stops")
            run = Run(harness)
            outcome = run.apply(run.check())
            assert isinstance(outcome, Applied)
            assert isinstance(run.undo(outcome.receipt), Undone)
            assert state(root) != "T"
            assert state(child) == "T"


def test_a_tree_that_keeps_forking_is_stopped_whole():
    """Processes started while the tree is being stopped are stopped too."""
    program = (
        "import os, signal\n"
        "for _ in range(400):\n"
        "    if os.fork() == 0: signal.pause()\n"
        "    signal.sigtimedwait([], 0.001)\n"
        "signal.pause()"
    )
    with folder() as tmp:
        process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            until(lambda: children.read_text().count(" ") > 20, what="it forks")
            harness = FreezeHarness(tmp)
            harness.process, harness.base = process, "signal.pause"
            run = Run(harness)
            outcome = run.apply(run.check())
            assert isinstance(outcome, Applied), outcome
            assert isinstance(run.verify(outcome.receipt), InForce)
            assert all(state(int(pid)) == "T" for pid in children.read_text().split())
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_failure_half_way_leaves_nothing_stopped(monkeypatch):
    """Where a member may not be signalled, those already stopped go on: no stop without a lease."""
    with folder() as tmp:
        harness = FreezeHarness(tmp)
        with harness.fresh():
            root, child = harness.family
            real = processes.send

            def send(process, signum):
                if process.pid == child and signum == signal.SIGSTOP:
                    raise PermissionError(1, "Operation not permitted")
                return real(process, signum)

            monkeypatch.setattr(processes, "send", send)
            run = Run(harness)
            outcome = run.apply(run.check())
            assert isinstance(outcome, Failed)
            assert "CAP_KILL" in outcome.error
            until(lambda: state(root) != "T" and state(child) != "T", what="both go on")

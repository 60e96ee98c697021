"""file.rotate-token beyond the contract: its reader is told, an interrupted run is taken up."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from engine.model import Applied, Failed
from tests.actions.harness.base import Run, folder
from tests.actions.harness.files import RotateTokenHarness


def test_the_reader_is_told_by_its_signal():
    """The process named by the pid file receives the signal after the new token is in place."""
    program = (
        "import signal, sys; signal.signal(signal.SIGHUP, lambda *_: sys.exit(7));"
        "print('up', flush=True); signal.pause()"
    )
    with folder() as tmp:
        harness = RotateTokenHarness(tmp)
        with harness.fresh(), subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as reader:
            assert reader.stdout.readline() == b"up\n"
            (tmp / "pid").write_text(f"{reader.pid}\n")
            run = Run(harness)
            run.params = type(run.params)(path=run.params.path, accepted=run.params.accepted, pid_file=str(tmp / "pid"))
            outcome = run.apply(run.check())
            assert isinstance(outcome, Applied)
            assert "SIGHUP" in outcome.detail
            assert reader.wait(10) == 7
            assert harness.contained()


def test_a_reader_that_is_gone_does_not_keep_the_old_token_alive():
    """The old token is ended, and the outcome says that nobody was told."""
    with folder() as tmp:
        harness = RotateTokenHarness(tmp)
        with harness.fresh():
            run = Run(harness)
            run.params = type(run.params)(path=run.params.path, accepted=run.params.accepted, pid=4_194_303)
            outcome = run.apply(run.check())
            assert isinstance(outcome, Applied)
            assert "could not be told" in outcome.detail
            assert harness.contained()


def test_the_token_that_an_interrupted_run_staged_is_the_one_that_is_used():
    """One intent makes one token, however often it is gone over; half a staged file is made anew."""
    with folder() as tmp:
        harness = RotateTokenHarness(tmp)
        for staged, kept in [("A" * 43 + "\n", True), ("A" * 11, False), ("", False)]:
            with harness.fresh():
                run = Run(harness)
                plan = run.check()
                (harness.folder / f".token.{run.context.intent}.new").write_text(staged)
                assert isinstance(run.apply(plan), Applied)
                assert (harness.token.read_text() == staged) is kept
                assert harness.contained()


def test_two_tokens_of_one_server_are_rotated_at_the_same_time():
    """Neither run loses the other's change to the list of hashes."""
    with folder() as tmp:
        first, second = RotateTokenHarness(tmp), RotateTokenHarness(tmp)
        second.numbers = first.numbers
        with first.fresh(), second.fresh():
            second.accepted.unlink()
            second.accepted = first.accepted
            first.accepted.write_text(first.accepted.read_text() + _digest(second.old) + "\n")
            runs = [Run(each) for each in (first, second)]
            plans = [run.check() for run in runs]
            with ThreadPoolExecutor(2) as pool:
                outcomes = list(pool.map(lambda run, plan: run.apply(plan), runs, plans))
            assert all(isinstance(each, Applied) for each in outcomes), outcomes
            for each in (first, second):
                assert not each.takes(each.old)
                assert each.takes(each.token.read_text().strip())


def test_a_token_that_someone_else_replaced_meanwhile_is_not_taken_for_ours():
    """A new token that the server does not take is an error, not success."""
    with folder() as tmp:
        harness = RotateTokenHarness(tmp)
        with harness.fresh():
            run = Run(harness)
            plan = run.check()
            harness.token.write_text("written by someone\n")
            outcome = run.apply(plan)
            assert isinstance(outcome, Failed)
            assert "someone else replaced the token" in outcome.error


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()

"""actions/training/processes.py: reading processes that try to be misread."""

import os
import signal
import subprocess

import pytest

from actions.training import processes
from engine.model import Failed, Refused
from tests.support.wait import until


def test_a_name_with_parentheses_and_spaces_is_read_right():
    """The fields of /proc/PID/stat begin after the last parenthesis, whatever the process calls itself."""
    with subprocess.Popen(["/bin/sh", "-c", 'printf ") R 1 (x" >/proc/$$/comm; read x'], stdin=subprocess.PIPE) as sly:
        found = until(lambda: (each := processes.read_process(sly.pid)) and ") R 1" in each.command and each)
        assert found.parent == os.getpid()
        assert found.command == ") R 1 (x"
        sly.kill()


def test_a_signal_meets_only_the_process_that_was_meant():
    """With another start time nothing is sent, as when the pid was reused."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        found = processes.read_process(sleeper.pid)
        assert not processes.send(processes.Process(found.pid, found.started + 1, found.parent, "S"), signal.SIGKILL)
        assert sleeper.poll() is None
        assert processes.send(found, signal.SIGKILL)
        assert sleeper.wait(10) == -signal.SIGKILL
        assert not processes.send(found, signal.SIGKILL)


@pytest.mark.parametrize("scope", ["tree", "process", "cgroup"])
def test_halon_and_its_parents_are_refused(scope):
    """The daemon, whatever started it, and pid 1 are never touched."""
    for pid in {1, os.getpid(), os.getppid()}:
        assert isinstance(processes.resolve(processes.ProcessParams(pid=pid, scope=scope)), Refused)


def test_a_zombie_is_no_running_process():
    """A process that ended and was not waited for is said to have ended."""
    sleeper = subprocess.Popen(["true"])
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    answer = processes.resolve(processes.ProcessParams(pid=sleeper.pid))
    assert isinstance(answer, Failed)
    assert "no running process" in answer.error
    sleeper.wait()

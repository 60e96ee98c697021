"""A real process tree: a Python program with threads and a child of its own, each counting in a file."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from actions.training.processes import cgroup_of
from tests.actions.harness.base import Failure, Harness
from tests.support.realparts import missing, need_root
from tests.support.wait import until

_PROGRAM = """
import os, sys, threading
def count(path):
    while True:
        with open(path, "a") as file: file.write("x")
        threading.Event().wait(0.002)
base = sys.argv[1]
if os.fork() == 0:
    count(base + ".child")
threading.Thread(target=count, args=(base + ".thread",), daemon=True).start()
count(base + ".main")
"""


class ProcessTree(Harness):
    """Shared by the process.* actions."""

    scope = "tree"

    @contextmanager
    def fresh(self):
        self.base = self.tmp / f"run-{next(self.numbers)}"
        self.process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(self.base)], start_new_session=True)
        self.parts = [Path(f"{self.base}.{part}") for part in ("main", "thread", "child")]
        until(lambda: all(part.exists() for part in self.parts), what="all parts of the run count")
        self.family = [self.process.pid, *_children(self.process.pid)]
        try:
            yield
        finally:
            for pid in self.family:
                _kill(pid, signal.SIGKILL)
            self.process.wait()

    def params(self):
        return {"pid": self.process.pid, "expect": str(self.base), "scope": self.scope}

    def state(self):
        return [_states(pid) <= {"R", "S", "D"} for pid in self.family]

    def sizes(self):
        return [part.stat().st_size for part in self.parts]


class FreezeHarness(ProcessTree):
    action = "process.freeze"
    counts_effects = False  # a second SIGSTOP to a stopped process has no effect at all

    def contained(self):
        before = self.sizes()
        try:
            until(lambda: self.sizes() != before, within_s=0.1)
        except AssertionError:
            return all(_states(pid) == {"T"} for pid in self.family)
        return False

    def someone_undoes(self):
        for pid in self.family:
            _kill(pid, signal.SIGCONT)
        until(lambda: all(self.state()), what="the run goes on")
        return True

    def failures(self):
        @contextmanager
        def ended():
            for pid in self.family:
                _kill(pid, signal.SIGKILL)
            self.process.wait()
            yield

        return [
            Failure("pid 1", "init", params={"pid": 1, "expect": ""}),
            Failure("the daemon itself", "its own watch", params={"pid": os.getpid(), "expect": ""}),
            Failure("a reused pid by its start time", "was reused", params={"started": 1}),
            Failure("a reused pid by its command", "does not contain", params={"expect": "another run"}),
            Failure("it ended before the check", "no running process", during=ended),
            Failure("it ended after the check", "no running process", during=ended, at_apply=True),
        ]


class FreezeCgroupHarness(FreezeHarness):
    """The same through the freezer of a version 2 cgroup."""

    scope = "cgroup"

    @contextmanager
    def serve(self):
        need_root("cgroups can't be made")
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        root = next((Path(line.split()[4]) for line in mounts if " - cgroup2 " in line), None)
        try:
            self.root = (root or Path("/nonexistent")) / f"halon-test-{self.tmp.name}"
            self.root.mkdir()
        except OSError as error:
            missing(f"no writable version 2 cgroup hierarchy ({error})")
        yield
        until(lambda: not _rmdir(self.root), what="the cgroup is empty")

    @contextmanager
    def fresh(self):
        with super().fresh():
            self.cgroup = self.root / f"run-{next(self.numbers)}"
            self.cgroup.mkdir()
            for pid in self.family:
                (self.cgroup / "cgroup.procs").write_text(str(pid))
            assert cgroup_of(self.process.pid) == self.cgroup
            try:
                yield
            finally:
                (self.cgroup / "cgroup.freeze").write_text("0")
                for pid in self.family:
                    _kill(pid, signal.SIGKILL)
                until(lambda: not _rmdir(self.cgroup), what="the cgroup is empty")

    def state(self):
        return (self.cgroup / "cgroup.events").read_text(), (self.cgroup / "cgroup.freeze").read_text()

    def contained(self):
        before = self.sizes()
        try:
            until(lambda: self.sizes() != before, within_s=0.1)
        except AssertionError:
            return "frozen 1" in (self.cgroup / "cgroup.events").read_text()
        return False

    def someone_undoes(self):
        (self.cgroup / "cgroup.freeze").write_text("0")
        until(lambda: "frozen 0" in (self.cgroup / "cgroup.events").read_text(), what="the cgroup goes on")
        return True

    def failures(self):
        @contextmanager
        def moved():
            for pid in self.family:
                (self.root.parent / "cgroup.procs").write_text(str(pid))
            yield

        return [
            Failure("a process in the root cgroup", "systemd-run", during=moved),
            Failure("pid 1", "init", params={"pid": 1, "expect": ""}),
            Failure("a reused pid", "was reused", params={"started": 1}),
        ]


def _rmdir(path):
    """Whether the folder is still there."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _kill(pid, signum):
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def _children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _states(pid):
    """The states of all threads of a process."""
    try:
        stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return {"X"}
    return {stat[stat.rindex(")") + 2] for stat in stats}


class KillHarness(ProcessTree):
    action = "process.kill"
    counts_effects = False  # a process dies once

    def contained(self):
        return all(_states(pid) <= {"Z", "X"} for pid in self.family)

    def state(self):
        return [_states(pid) <= {"R", "S", "D"} for pid in self.family]

    def failures(self):
        return [
            Failure("pid 1", "init", params={"pid": 1, "expect": ""}),
            Failure("the daemon itself", "its own watch", params={"pid": os.getpid(), "expect": ""}),
            Failure("a reused pid by its start time", "was reused", params={"started": 1}),
            Failure("a reused pid by its command", "does not contain", params={"expect": "another run"}),
        ]

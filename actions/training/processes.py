"""Reads processes from /proc, finds their tree or cgroup, and signals them without mistaking a reused pid.

A process is named by (pid, start time): the pair is unique since boot, the pid alone is not. Used by the `process.*`
actions. Source of the fields: proc_pid_stat(5), cgroups(7), pidfd_open(2).
"""

import errno
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from engine.action import Params
from engine.model import Failed, Json, Refused, Struct

PROC = Path("/proc")
PROCESSES_MAX = 10_000
"""A tree or cgroup with more processes than this is not acted on."""
_PASSES_MAX = 100  # each pass stops what the last one's not yet stopped members have started
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of proc_pid_stat(5)


class ProcessParams(Params, frozen=True):
    """Which process, how to know that it is still the one meant, and how much hangs on it."""

    pid: Annotated[int, Meta(ge=1, le=4_194_304, description="process id")]
    started: (
        Annotated[
            int,
            Meta(description="start time in clock ticks since boot, field 22 of /proc/PID/stat; guards a reused pid"),
        ]
        | None
    ) = None
    expect: Annotated[
        str, Meta(max_length=4096, description="text that its command line must contain; guards a reused pid")
    ] = ""
    scope: Annotated[
        Literal["tree", "process", "cgroup"],
        Meta(description="`tree`: with all its descendants; `process`: alone; `cgroup`: its whole cgroup (version 2)"),
    ] = "tree"


class Process(Struct, frozen=True):
    """One process as /proc shows it; `state` is the letter of proc_pid_stat(5)."""

    pid: int
    started: int
    parent: int
    state: str
    command: str = ""

    @property
    def ended(self) -> bool:
        """Whether it no longer runs anything (a zombie that nobody waited for)."""
        return self.state in {"Z", "X", "x"}

    @property
    def identity(self) -> list[Json]:
        """Pid and start time, as receipts hold them."""
        return [self.pid, self.started]


def read_process(pid: int) -> Process | None:
    """One process, or None where there is none of that pid."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command in parentheses may hold anything, parentheses too: the fields begin after the last one.
    name, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
    return Process(pid=pid, started=int(fields[19]), parent=int(fields[1]), state=fields[0], command=name)


def all_processes() -> dict[int, Process]:
    """Every process of this pid namespace."""
    found = (read_process(int(each.name)) for each in PROC.iterdir() if each.name.isdigit())
    return {each.pid: each for each in found if each is not None}


def descendants(roots: Iterable[int]) -> list[Process]:
    """The processes below some pids, those that have ended left out."""
    everyone = all_processes()
    children: dict[int, list[Process]] = {}
    for each in everyone.values():
        children.setdefault(each.parent, []).append(each)
    found: list[Process] = []
    queue = list(roots)
    while queue:
        below = children.get(queue.pop(), [])
        found += [each for each in below if not each.ended]
        queue += [each.pid for each in below]
    return found


def command_line(pid: int) -> str:
    """The arguments a process was started with, joined by spaces; empty where it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_kernel_thread(pid: int) -> bool:
    """Whether it is a thread of the kernel, which no signal stops."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return False
    return bool(int(stat[stat.rindex(")") + 2 :].split()[6]) & _KERNEL_THREAD)


def cgroup_of(pid: int) -> Path | None:
    """The folder of a process's version 2 cgroup; None where it is in no other than the root."""
    try:
        lines = (PROC / str(pid) / "cgroup").read_text().splitlines()
        mounts = (PROC / "self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    path = next((line[3:] for line in lines if line.startswith("0::")), "/")
    mounted = next((line.split()[4] for line in mounts if line.partition(" - ")[2].startswith("cgroup2 ")), None)
    return None if mounted is None or path == "/" else Path(mounted) / path.lstrip("/")


def cgroup_members(folder: Path) -> list[Process]:
    """The processes of a cgroup and of those below it."""
    pids = {int(pid) for file in [*folder.rglob("cgroup.procs")] for pid in file.read_text().split()}
    found = (read_process(pid) for pid in sorted(pids))
    return [each for each in found if each is not None and not each.ended]


def resolve(params: ProcessParams) -> Process | Refused | Failed:
    """The process that the parameters name, unless it is gone, another one, or one that must never be touched."""
    if params.pid == 1:
        return Refused("pid 1 is the init process of the machine or container; stopping it stops everything")
    if is_kernel_thread(params.pid):
        return Refused(f"pid {params.pid} is a thread of the kernel")
    found = read_process(params.pid)
    if found is None or found.ended:
        return Failed(f"there is no running process {params.pid}; if the run was restarted, it has another pid")
    if params.started is not None and found.started != params.started:
        return Failed(
            f"pid {params.pid} was reused: this process started at tick {found.started}, not {params.started};"
            " the one that was meant has ended"
        )
    if params.expect and params.expect not in command_line(params.pid):
        return Failed(
            f"pid {params.pid} is `{command_line(params.pid)[:80]}`, which does not contain `{params.expect[:80]}`;"
            " if the pid was reused, the process that was meant has ended"
        )
    own = own_line()
    if params.pid in own or (params.scope == "tree" and own & {each.pid for each in descendants([params.pid])}):
        return Refused(f"pid {params.pid} is Halon itself or one of its parents; it would stop its own watch")
    if params.scope == "cgroup":
        return _refuse_own_cgroup(params.pid) or found
    return found


def _refuse_own_cgroup(pid: int) -> Refused | Failed | None:
    folder, own = cgroup_of(pid), cgroup_of(os.getpid())
    if folder is None:
        return Failed(
            f'pid {pid} is in no version 2 cgroup of its own; use scope = "tree", or start the run in a cgroup of its'
            " own (systemd-run does)"
        )
    if own is not None and own.is_relative_to(folder):
        return Refused(f"the cgroup of pid {pid} holds Halon itself; it would stop its own watch")
    return None


def own_line() -> set[int]:
    """This process and its ancestors."""
    line: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        parent = read_process(pid)
        pid = parent.parent if parent else 0
    return line


def members(params: ProcessParams, root: Process) -> list[Process]:
    """All that the scope takes in, the root first, as they are now."""
    match params.scope:
        case "process":
            return [root]
        case "tree":
            return [root, *descendants([root.pid])]
        case "cgroup":
            folder = cgroup_of(root.pid)
            return cgroup_members(folder) if folder else []


def send(process: Process, signum: signal.Signals) -> bool:
    """Signals exactly this process; False where it has ended. Raises PermissionError.

    The pidfd is opened before the start time is compared, so the pid can't change hands in between.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        now = read_process(process.pid)
        if now is None or now.started != process.started or now.ended:
            return False
        signal.pidfd_send_signal(handle, signum)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def stopped(process: Process) -> bool:
    """Whether every thread of it is in state T; True as well where it has ended meanwhile."""
    try:
        threads = list((PROC / str(process.pid) / "task").iterdir())
        states = [_thread_state(each) for each in threads]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return all(state in {"T", "Z", "X", "x"} for state in states)


def _thread_state(task: Path) -> str:
    try:
        stat = (task / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return stat[stat.rindex(")") + 2]


def counted(count: int) -> str:
    """`1 process`, `2 processes`."""
    return f"{count} process" if count == 1 else f"{count} processes"


def stop_all(params: ProcessParams, root: Process, sent: list[Process]) -> bool:
    """Stops parents before children until a pass finds nobody new; False where all were stopped already.

    `sent` receives those that were stopped, also where an OSError cuts it short.
    """
    for _ in range(_PASSES_MAX):
        known = {each.pid for each in sent}
        new = [each for each in members(params, root) if each.pid not in known and not stopped(each)]
        if not new:
            return bool(sent)
        # One by one, so that those before a failure are known and can be let go on.
        sent.extend(each for each in new if send(each, signal.SIGSTOP))
    raise OSError(errno.EAGAIN, 'it starts processes faster than they can be stopped; use scope = "cgroup"')

"""The processes of the demonstration: a command to a child that is sure to end with it; and what /proc says of one.

`Children` starts commands in process groups of their own, keeps their output in files, and on leaving ends all of them,
stopped ones too. Called by `demo.__main__`.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

POLL_S = 0.02
"""How often something outside of this process is looked at again."""
END_WITHIN_S = 12.0
"""How long a child gets to end by itself after SIGTERM; the daemon promises 10 s."""


INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailed(Exception):  # noqa: N818  # says what was not seen, for people
    """Something that must hold did not; the text says what."""


class Children:
    """Started processes by name; a context manager that ends them in reverse order."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        """Run a command; its output goes to `NAME.log`."""
        with (self._logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._started[name] = child
        return child

    def check_alive(self) -> None:
        """Raise DemoFailed with the end of its log if a child has ended."""
        for name, child in self._started.items():
            if child.poll() is not None:
                raise DemoFailed(f"{name} ended with status {child.returncode}:\n{self.log_tail(name)}")

    def log_tail(self, name: str, *, lines_max: int = 15) -> str:
        """The last lines that a child wrote."""
        text = (self._logs / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines_max:])

    def wait_for(self, what: str, look: Callable[[], T | None], *, within_s: float) -> T:
        """The first thing `look` returns that is not None; DemoFailed when time is up or a child has ended."""
        deadline = time.monotonic() + within_s
        while True:
            seen = look()
            if seen is not None:
                return seen
            self.check_alive()
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what}: not within {within_s:g} s")
            time.sleep(POLL_S)

    def end(self, name: str) -> int | None:
        """End one child (SIGTERM, then SIGKILL) and return its status; None if it had to be killed."""
        child = self._started.pop(name)
        if child.poll() is not None:
            return child.returncode
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGCONT)  # a stopped process takes SIGTERM only once it goes on
        try:
            return child.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not leave half of them behind.
        for number in INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)
        for name in reversed(list(self._started)):
            self.end(name)


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def thread_states(pid: int) -> dict[int, str]:
    """The state letter of every thread of a process, as /proc has it; empty when it is gone."""
    states = {}
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            states[int(task.name)] = (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return states


def cpu_ticks(pid: int) -> int:
    """User and system time that a process has used, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def interrupt_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the demonstration as Ctrl-C does: by KeyboardInterrupt, through its clean-up."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in INTERRUPTS:
        signal.signal(number, interrupt)

"""What the contract suite asks of each action's real target.

A harness starts the target once (`serve`), gives a fresh piece of it to each test (`fresh`), and looks at it with
means of its own (`state`, `contained`, `effects`), never through the action.
"""

import asyncio
import itertools
import logging
import os
import shutil
import signal
import socket
import tempfile
import types
import warnings
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from actions.table import CATALOGUE
from engine.action import Action, ActionContext
from engine.clock import SystemClock, decode_hook
from engine.model import IncidentId, IntentId

T = TypeVar("T")


@dataclass
class Failure:
    """One way in which the target fails: what the step is given then, and words that its message must hold."""

    label: str
    says: str
    params: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    during: Callable[[], AbstractContextManager[object]] = nullcontext
    at_apply: bool = False
    """The check still succeeds, and the fault strikes between check and apply."""


class Harness(ABC):
    """The real target of one action."""

    action: ClassVar[str]
    counts_effects: ClassVar[bool] = True
    stride: ClassVar[int] = 1
    """Of how many awaits one is interrupted, where a fresh target takes seconds."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.numbers = itertools.count(1)

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Starts what all tests share, and stops it."""
        yield

    @abstractmethod
    def fresh(self) -> AbstractContextManager[None]:
        """A target of its own for one test."""

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """The step's parameters for the fresh target."""

    def settings(self) -> dict[str, Any]:
        """The action's table in config.toml."""
        return {}

    def secrets(self) -> dict[str, str]:
        """What `context.secret` gives; none of the values may be seen in any output."""
        return {}

    def hidden(self) -> list[str]:
        """Further texts that must be seen in no output."""
        return []

    @abstractmethod
    def state(self) -> object:
        """All that the action may change of the target, to compare."""

    @abstractmethod
    def contained(self) -> bool:
        """Whether the containment works, tried from outside."""

    def effects(self) -> int:
        """How often the target was acted on since `fresh`."""
        raise NotImplementedError

    def someone_undoes(self) -> bool:
        """Takes the effect back behind Halon's back; False where nobody can."""
        return False

    def someone_changes(self) -> bool:
        """Changes the target such that undo must leave it as it is; False where there is no such change."""
        return False

    @abstractmethod
    def failures(self) -> list[Failure]:
        """The ways in which it can fail; at least one."""


def silent(harness: Harness) -> int:
    """The port of something that takes connections and never answers."""
    if not hasattr(harness, "_silent"):
        harness._silent = socket.create_server(("127.0.0.1", 0))
        weakref.finalize(harness, harness._silent.close)
    return harness._silent.getsockname()[1]


class Run:
    """One action over a harness, with everything that it said."""

    def __init__(self, harness: Harness, *, failure: Failure | None = None, intent: str = "int-1a2b.c0.0f0f") -> None:
        cls = CATALOGUE.actions[harness.action]
        failure = failure or Failure("", "")
        self.secrets = {**harness.secrets(), **failure.secrets}
        self.action: Action[Any] = cls(
            msgspec.convert(harness.settings() | failure.settings, cls.settings, dec_hook=decode_hook)
        )
        self.params = msgspec.convert(harness.params() | failure.params, cls.params, dec_hook=decode_hook)
        self.state_dir = harness.tmp / "state" / f"{next(harness.numbers)}"
        self.state_dir.mkdir(parents=True)
        self.context = ActionContext(
            intent=IntentId(intent),
            incident=IncidentId("inc-1a2b"),
            state_dir=self.state_dir,
            now_us=SystemClock().now_us,
            secret=self.secrets.__getitem__,
        )
        self.said: list[str] = []

    def other(self, intent: str = "int-9e9e.c0.0f0f") -> "Run":
        """The same step as a later intent of another incident."""
        twin = object.__new__(Run)
        twin.__dict__ |= self.__dict__
        twin.context = msgspec.structs.replace(self.context, intent=IntentId(intent), incident=IncidentId("inc-9e9e"))
        return twin

    def _note(self, value: T) -> T:
        self.said += [repr(value), msgspec.json.encode(value).decode()]
        return value

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs one method to its end."""
        return self._note(asyncio.run(coroutine))

    def probe(self):
        return self.do(self.action.probe(self.context))

    def check(self):
        return self.do(self.action.check(self.params, self.context))

    def apply(self, plan):
        return self.do(self.action.apply(self.params, plan, self.context))

    def verify(self, receipt):
        return self.do(self.action.verify(self.params, receipt, self.context))

    def undo(self, receipt):
        return self.do(self.action.undo(self.params, receipt, self.context))

    def apply_cancelled_at(self, plan, place: int) -> bool:
        """Applies, cancelled at the await of that number; False where it came to its end before."""

        def cancel(coroutine, waited):
            if waited is not None:
                waited.cancel()
            return coroutine.throw(asyncio.CancelledError())

        try:
            self._note(asyncio.run(_interrupted(self.action.apply(self.params, plan, self.context), place, cancel)))
        except asyncio.CancelledError:
            return True
        return False

    def apply_killed_at(self, plan, place: int) -> bool:
        """Applies in a forked process that is killed at the await of that number; False where it ended before."""

        def kill(coroutine, waited) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: the child only runs the loop
            child = os.fork()
        if child == 0:
            try:
                asyncio.run(_interrupted(self.action.apply(self.params, plan, self.context), place, kill))
            finally:
                os._exit(0)
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])


async def _interrupted(coroutine, place: int, strike):
    """Awaits the coroutine, striking at its await of that number, counted from 1; its clean-up is awaited."""

    @types.coroutine
    def drive():
        value, count, struck = None, 0, False
        while True:
            try:
                waited = coroutine.send(value)
                count += 1
                if count == place:
                    if waited is not None:
                        waited._asyncio_future_blocking = False
                    struck = True
                    waited = strike(coroutine, waited)
                    if waited is not None:
                        waited._asyncio_future_blocking = True
            except StopIteration as done:
                assert not struck, "it swallowed its cancellation"
                return done.value
            value = yield waited

    return await drive()


class Silence(logging.Handler):
    """Collects what was logged, to look for secrets in it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def folder() -> Iterator[Path]:
    """A folder with a short name, for sockets (108 characters at most)."""
    path = Path(tempfile.mkdtemp(prefix="halon-"))
    try:
        yield path
    finally:
        for each in [path, *path.rglob("*")]:
            if each.is_dir() and not each.is_symlink():
                each.chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)

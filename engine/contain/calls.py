"""Calls into actions to values: the one boundary where anything may be thrown, hang, or answer nonsense.

`Calls` turns a step's name and JSON parameters into an action and its typed parameters, and runs the action's four
methods within a time, a slot and a net. What it returns is free of exceptions and of secrets.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.action import Action, ActionContext, Catalogue
from engine.clock import SECOND_US, Clock, decode_hook
from engine.contain.secrets import Secrets
from engine.contain.slots import Priority, Slots
from engine.model import (
    AlreadyInPlace,
    Applied,
    Conflict,
    Failed,
    IncidentId,
    InForce,
    IntentId,
    Json,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Struct,
    Undoing,
    Undone,
    Unknown,
    Verification,
)

T = TypeVar("T")

GRACE_S = 1.0
"""How long a cancelled call may take to end before it is left to itself."""


class Call(Struct, frozen=True):
    """One action about to be called: the instance, its checked parameters, for which step, how urgent, how long."""

    action: Action[Any]
    params: msgspec.Struct
    intent: IntentId
    incident: IncidentId
    priority: Priority
    timeout_us: int


class Doubtful(Struct, frozen=True):
    """A call that did not answer in time. `ended`: it was stopped, so that nothing of it can still be under way."""

    reason: str
    ended: bool


class _Threw(Struct, frozen=True):
    text: str


class Calls:
    """The table of actions, ready to be called; `attach` gives it the task group that the calls run in."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        settings: Mapping[str, Mapping[str, Json]],
        clock: Clock,
        secrets: Secrets,
        state_dir: Path,
        parallel_max: int,
    ) -> None:
        self._catalogue = catalogue
        self._settings = settings
        self._clock = clock
        self._secrets = secrets
        self._state_dir = state_dir
        self._slots = Slots(parallel_max)
        self._instances: dict[str, Action[Any]] = {}
        self._group: asyncio.TaskGroup | None = None

    def reconfigure(self, settings: Mapping[str, Mapping[str, Json]], *, parallel_max: int) -> None:
        """Other settings for the calls to come; those under way end under the ones that they began with."""
        self._settings = settings
        self._instances = {}
        self._slots.resize(parallel_max)

    def attach(self, group: asyncio.TaskGroup) -> None:
        """Run calls as tasks of this group from now on."""
        self._group = group

    def prepare(
        self,
        name: str,
        params: Mapping[str, Json],
        *,
        intent: IntentId,
        incident: IncidentId,
        priority: Priority,
        timeout_us: int,
    ) -> Call | Refused:
        """The call of an action, or why these parameters cannot be handed to it."""
        try:
            action = self._instance(name)
            if action is None:
                return Refused(f"no such action `{name}`; `halon actions` lists all")
            # Templates give text where a number is meant ("${event.data.pid}"): such text is taken as the number.
            typed = msgspec.convert(dict(params), action.params, strict=False, dec_hook=decode_hook)
        except msgspec.ValidationError as error:
            return Refused(f"the parameters of `{name}` do not fit: {error}")
        return Call(
            action=action, params=typed, intent=intent, incident=incident, priority=priority, timeout_us=timeout_us
        )

    def kind_of(self, name: str) -> str:
        """The target kind that an action declares; empty for an unknown one."""
        action = self._catalogue.get(name)
        return "" if action is None else action.target_kind

    async def check(self, call: Call) -> Plan | Refused | Failed:
        """What the action would do. Nothing was changed, whatever the answer."""
        answer = await self._run(call, "check", lambda: call.action.check(call.params, self._context(call)))
        match answer:
            case Plan() | Refused() | Failed():
                return answer
            case Doubtful(reason=reason):
                return Failed(reason)
            case _:
                return Failed(_nonsense(answer))

    async def apply(self, call: Call, plan: Plan) -> Applied | AlreadyInPlace | Refused | Failed | Doubtful:
        """Act. An action that throws has failed, and it is not known whether anything happened."""
        answer = await self._run(call, "apply", lambda: call.action.apply(call.params, plan, self._context(call)))
        match answer:
            case Applied() | AlreadyInPlace() | Refused() | Failed() | Doubtful():
                return answer
            case _:
                return Failed(_nonsense(answer))

    async def verify(self, call: Call, receipt: Receipt) -> Verification:
        """Whether the effect is in force, read from the target."""
        answer = await self._run(call, "verify", lambda: call.action.verify(call.params, receipt, self._context(call)))
        match answer:
            case InForce() | NotInForce() | Unknown():
                return answer
            case Doubtful(reason=reason):
                return Unknown(reason)
            case _:
                return Unknown(_nonsense(answer))

    async def undo(self, call: Call, receipt: Receipt) -> Undoing:
        """Restore the prior state."""
        answer = await self._run(call, "undo", lambda: call.action.undo(call.params, receipt, self._context(call)))
        match answer:
            case Undone() | Conflict() | Failed():
                return answer
            case Doubtful(reason=reason):
                return Failed(reason)
            case _:
                return Failed(_nonsense(answer))

    def _instance(self, name: str) -> Action[Any] | None:
        kind = self._catalogue.get(name)
        if kind is None:
            return None
        if name not in self._instances:
            table = dict(self._settings.get(name, {}))
            self._instances[name] = kind(msgspec.convert(table, kind.settings, dec_hook=decode_hook))
        return self._instances[name]

    def _context(self, call: Call) -> ActionContext:
        return ActionContext(
            intent=call.intent,
            incident=call.incident,
            state_dir=self._state_dir,
            now_us=self._clock.now_us,
            secret=self._secrets.reveal,
        )

    async def _run(self, call: Call, method: str, start: Callable[[], Awaitable[T]]) -> T | Doubtful | _Threw:
        """The answer of one method, within its time, in a slot, without secrets."""
        async with self._slots.hold(call.priority):
            answer = await self._within(start, call, method)
        return self._secrets.scrub(answer)

    async def _within(self, start: Callable[[], Awaitable[T]], call: Call, method: str) -> T | Doubtful | _Threw:
        assert self._group is not None, "attach() comes first"
        name = f"{call.action.name} {method} {call.intent}"
        task = self._group.create_task(_caught(start), name=name)
        timer = self._group.create_task(self._clock.sleep_s(call.timeout_us / SECOND_US), name=f"{name} time-out")
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return await self._give_up(task, name, call.timeout_us)
        finally:
            timer.cancel()
            task.cancel()
        if task.cancelled():
            return _Threw("CancelledError: the action cancelled itself")
        return task.result()

    async def _give_up(self, task: "asyncio.Task[Any]", name: str, timeout_us: int) -> Doubtful:
        """Stop a call that took too long. One that does not listen keeps its task, and nobody waits for it."""
        assert self._group is not None
        task.cancel()
        grace = self._group.create_task(self._clock.sleep_s(GRACE_S), name=f"{name} grace")
        try:
            await asyncio.wait({task, grace}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            grace.cancel()
        return Doubtful(f"no answer within {timeout_us / SECOND_US:g} s", ended=task.done())


async def _caught(start: Callable[[], Awaitable[T]]) -> T | _Threw:
    try:
        return await start()
    except Exception as error:  # noqa: BLE001  # the boundary to an action, which may be anyone's code
        return _Threw(f"{type(error).__name__}: {error}")


def _nonsense(answer: object) -> str:
    """Why something that is no answer is none."""
    if isinstance(answer, _Threw):
        return answer.text
    return f"the action answered with {type(answer).__name__}, which is none of its answers"

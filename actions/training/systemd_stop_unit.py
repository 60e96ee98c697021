"""`systemd.stop-unit`: a unit of systemd to one that is stopped, all processes of its control group with it."""

import asyncio
from typing import Annotated

from msgspec import Meta

from actions.support import TargetError, failed, run, text_of
from engine.action import Action, ActionContext, Params, Settings
from engine.clock import SECOND_US, Duration
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    InForce,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Struct,
    Target,
    Undoing,
    Undone,
    Unknown,
    Verification,
)

_STOPPED = frozenset({"inactive", "failed"})
_PROPERTIES = "LoadState,ActiveState,SubState,RefuseManualStop,CanStart,Id"
_SETTLE_STEP_S = 0.1


class SystemdStopUnitParams(Params, frozen=True):
    """Which unit."""

    unit: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,240}\.(service|scope|slice|socket|timer|target)\Z",
            description="full name of the unit, as `trainer@7.service`",
        ),
    ]


class SystemdStopUnitSettings(Settings, frozen=True):
    """`systemctl`: the program with options, as `["/usr/bin/systemctl", "--user"]`; `own_unit` is never stopped."""

    systemctl: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)] = ("/usr/bin/systemctl",)
    own_unit: str = "halond.service"
    timeout: Duration = Duration(25 * SECOND_US)


class _Unit(Struct, frozen=True):
    id: str
    loaded: str
    state: str
    may_stop: bool
    can_start: bool


class SystemdStopUnit(Action[SystemdStopUnitParams]):
    """Stops a unit and waits until it is down; undo starts it again if it ran before.

    `Restart=` does not start a unit that was stopped so; a timer, a socket or a dependency may: that is seen as drift.
    """

    name = "systemd.stop-unit"
    params = SystemdStopUnitParams
    settings = SystemdStopUnitSettings
    target_kind = "training"
    reversible = True
    privileges = (
        "root, or a polkit rule that lets halond's user manage the unit (org.freedesktop.systemd1.manage-units)"
    )
    example = '{ do = "systemd.stop-unit", unit = "trainer@7.service", hold = "2h" }'

    async def check(self, params: SystemdStopUnitParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            unit = await self._read(params.unit)
        except TargetError as error:
            return failed(error)
        if self._own().own_unit in {params.unit, unit.id}:
            return Refused(f"{params.unit} is Halon's own unit; it could not undo this")
        if unit.loaded != "loaded":
            return Failed(f"systemd has no unit {params.unit} ({unit.loaded}); `systemctl list-units` shows them")
        if not unit.may_stop:
            return Refused(f"{params.unit} can't be stopped by hand (RefuseManualStop=yes)")
        return Plan(
            target=Target("training", f"unit {unit.id}"),
            would=f"stop {unit.id}, which is {unit.state}",
            receipt={"before": unit.state, "can_start": unit.can_start},
            in_place=unit.state in _STOPPED,
        )

    async def apply(
        self, params: SystemdStopUnitParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            if (await self._read(params.unit)).state in _STOPPED:
                return AlreadyInPlace(plan.receipt, f"{params.unit} is stopped")
            await self._tell("stop", params.unit, until=_STOPPED)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.unit} is stopped")

    async def verify(self, params: SystemdStopUnitParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            unit = await self._read(params.unit)
        except TargetError as error:
            return Unknown(str(error))
        text = f"{params.unit} is {unit.state}"
        return InForce(text) if unit.state in _STOPPED else NotInForce(text)

    async def undo(self, params: SystemdStopUnitParams, receipt: Receipt, context: ActionContext) -> Undoing:
        if text_of(receipt, "before") in _STOPPED:
            return Undone("the unit was stopped before; it still is")
        if not receipt.get("can_start"):
            return Failed(f"{params.unit} can't be started by systemd (a scope); start what it held by hand")
        try:
            if (await self._read(params.unit)).state not in _STOPPED:
                return Undone(f"{params.unit} runs already")
            await self._tell("start", params.unit, until=frozenset({"active"}))
        except TargetError as error:
            return Failed(f"{error}; or start it by hand: systemctl start {params.unit}")
        return Undone(f"{params.unit} runs again")

    async def _read(self, unit: str) -> _Unit:
        """Raises TargetError."""
        out = await self._run("show", "--property", _PROPERTIES, "--", unit)
        found = dict(line.partition("=")[::2] for line in out.splitlines())
        return _Unit(
            id=found.get("Id", unit),
            loaded=found.get("LoadState", "unknown"),
            state=found.get("ActiveState", "unknown"),
            may_stop=found.get("RefuseManualStop") != "yes",
            can_start=found.get("CanStart") == "yes",
        )

    async def _tell(self, verb: str, unit: str, *, until: frozenset[str]) -> None:
        """Queues the job, so that being cut off leaves nothing hanging, and waits for the state. Raises TargetError."""
        await self._run(verb, "--no-block", "--no-ask-password", "--", unit)
        try:
            async with asyncio.timeout(self._own().timeout / SECOND_US):
                while (state := (await self._read(unit)).state) not in until:  # noqa: ASYNC110  # systemctl can't wait for it
                    await asyncio.sleep(_SETTLE_STEP_S)
        except TimeoutError as error:
            raise TargetError(f"{unit} is still {state} after {verb}; see `systemctl status {unit}`") from error

    async def _run(self, *arguments: str) -> str:
        """The output of systemctl. Raises TargetError."""
        argv = [*self._own().systemctl, *arguments]
        code, out, err = await run(argv, timeout_s=self._own().timeout / SECOND_US)
        if code:
            said = err.decode(errors="replace").strip()[:300]
            raise TargetError(
                f"systemctl {arguments[0]}: {said or f'exit code {code}'}; see `privileges` of this action"
            )
        return out.decode(errors="replace")

    def _own(self) -> SystemdStopUnitSettings:
        assert isinstance(self._settings, SystemdStopUnitSettings)
        return self._settings

"""`slurm.hold-user`: the waiting jobs of a user to ones that do not start.

Slurm without an accounting database can't refuse new jobs of a user; those are held when the lease is next reconciled.
Running jobs go on: `slurm.suspend` halts those.
"""

from typing import Annotated

from msgspec import Meta

from actions.support import TargetError, failed, probed
from actions.training import slurm
from engine.action import Action, ActionContext, Params
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    InForce,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Target,
    Undoing,
    Undone,
    Unknown,
    Verification,
)


class UserParams(Params, frozen=True):
    """Whose jobs."""

    user: Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_.-]{0,31}\Z", description="login name of the user")]


class SlurmHoldUser(Action[UserParams]):
    """Holds all waiting jobs of a user, and new ones as the lease is reconciled; undo releases those it held."""

    name = "slurm.hold-user"
    params = UserParams
    settings = slurm.SlurmSettings
    target_kind = "training"
    reversible = True
    privileges = "a Slurm operator or root; `squeue` and `scontrol` on halond's machine"
    example = '{ do = "slurm.hold-user", user = "alice", hold = "24h" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(slurm.ping(self._own()))

    async def check(self, params: UserParams, context: ActionContext) -> Plan | Refused | Failed:
        if params.user == "root":
            return Refused("root's jobs belong to the cluster itself")
        try:
            waiting = await self._waiting(params)
        except TargetError as error:
            return failed(error)
        free = [each.id for each in waiting if not each.halted]
        return Plan(
            target=Target("training", f"slurm user {params.user}", {"user": params.user}),
            would=f"hold {len(free)} waiting jobs of {params.user}",
            receipt={"held_before": [each.id for each in waiting if each.halted]},
            in_place=not free,
        )

    async def apply(
        self, params: UserParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            free = [each.id for each in await self._waiting(params) if not each.halted]
            if not free:
                return AlreadyInPlace(plan.receipt, f"no job of {params.user} waits to start")
            await slurm.control(self._own(), "hold", free)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{len(free)} jobs of {params.user} are held")

    async def verify(self, params: UserParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            free = [each.id for each in await self._waiting(params) if not each.halted]
        except TargetError as error:
            return Unknown(str(error))
        if free:
            return NotInForce(f"not held: {', '.join(free[:10])}")
        return InForce(f"no job of {params.user} waits to start")

    async def undo(self, params: UserParams, receipt: Receipt, context: ActionContext) -> Undoing:
        before = receipt.get("held_before")
        assert isinstance(before, list)
        try:
            ours = [each.id for each in await self._waiting(params) if each.halted and each.id not in before]
            await slurm.control(self._own(), "release", ours)
        except TargetError as error:
            return Failed(f"{error}; or by hand: scontrol release with the ids that squeue -u {params.user} shows")
        return Undone(f"{len(ours)} jobs of {params.user} are released")

    async def _waiting(self, params: UserParams) -> list[slurm.Job]:
        return [each for each in await slurm.jobs(self._own(), user=params.user) if each.state == "PENDING"]

    def _own(self) -> slurm.SlurmSettings:
        assert isinstance(self._settings, slurm.SlurmSettings)
        return self._settings

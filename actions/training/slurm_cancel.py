"""`slurm.cancel`: a job to one that has ended."""

import asyncio

from actions.support import TargetError, failed, probed
from actions.training import slurm
from engine.action import Action, ActionContext
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
    Unknown,
    Verification,
)

_SETTLE_STEP_S = 0.1
_SETTLE_STEPS_MAX = 100  # 10 s: Slurm gives a job KillWait to end by itself before it is killed


class SlurmCancel(Action[slurm.JobParams]):
    """Cancels a job.

    Irreversible: what a cancelled job had not written is lost. Prefer `slurm.suspend` where evidence matters.
    """

    name = "slurm.cancel"
    params = slurm.JobParams
    settings = slurm.SlurmSettings
    target_kind = "training"
    reversible = False
    opposes = ("slurm.suspend",)  # suspended, it could go on; cancelled, what it had not written is lost
    privileges = "a Slurm operator or root; `squeue` and `scancel` on halond's machine"
    example = '{ do = "slurm.cancel", job = "17" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(slurm.ping(self._own()))

    async def check(self, params: slurm.JobParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            found = [each for each in await slurm.jobs(self._own(), job=params.job) if not each.ended]
        except TargetError as error:
            return failed(error)
        if not found:
            return Failed(f"Slurm has no job {params.job} that has not ended; squeue shows those there are")
        return Plan(
            target=Target("training", f"slurm job {params.job}", {"user": found[0].user}),
            would=f"cancel job {params.job} of {found[0].user} ({len(found)} tasks)",
            receipt={"submitted": found[0].submitted},
        )

    async def apply(
        self, params: slurm.JobParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            if not await self._living(params, plan.receipt):
                return AlreadyInPlace(plan.receipt, f"job {params.job} has ended")
            await slurm.cancel(self._own(), params.job)
            for _ in range(_SETTLE_STEPS_MAX):  # verify is what judges
                if not await self._living(params, plan.receipt):
                    break
                await asyncio.sleep(_SETTLE_STEP_S)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"job {params.job} is cancelled")

    async def verify(self, params: slurm.JobParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            living = await self._living(params, receipt)
        except TargetError as error:
            return Unknown(str(error))
        if living:
            return NotInForce(", ".join(f"{each.id} is {each.state}" for each in living[:10]))
        return InForce(f"job {params.job} has ended")

    async def _living(self, params: slurm.JobParams, receipt: Receipt) -> list[slurm.Job]:
        found = await slurm.jobs(self._own(), job=params.job)
        return [each for each in found if not each.ended and each.submitted == receipt.get("submitted")]

    def _own(self) -> slurm.SlurmSettings:
        assert isinstance(self._settings, slurm.SlurmSettings)
        return self._settings

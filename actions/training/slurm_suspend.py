"""`slurm.suspend`: a job to one that does not run: running tasks are suspended, waiting ones held."""

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
    Undoing,
    Undone,
    Unknown,
    Verification,
)


class SlurmSuspend(Action[slurm.JobParams]):
    """Suspends a job, or holds it where it still waits; undo resumes and releases what this step halted."""

    name = "slurm.suspend"
    params = slurm.JobParams
    settings = slurm.SlurmSettings
    target_kind = "training"
    reversible = True
    privileges = "a Slurm operator or root; `squeue` and `scontrol` on halond's machine"
    example = '{ do = "slurm.suspend", job = "17", hold = "24h" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(slurm.ping(self._own()))

    async def check(self, params: slurm.JobParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            found = [each for each in await slurm.jobs(self._own(), job=params.job) if not each.ended]
        except TargetError as error:
            return failed(error)
        if not found:
            return Failed(f"Slurm has no job {params.job} that has not ended; squeue shows those there are")
        running = [each.id for each in found if not each.halted]
        return Plan(
            target=Target("training", f"slurm job {params.job}", {"user": found[0].user}),
            would=f"suspend or hold {len(running)} of {len(found)} tasks of job {params.job} of {found[0].user}",
            receipt={
                "submitted": found[0].submitted,
                "suspended_before": [each.id for each in found if each.state == "SUSPENDED"],
                "held_before": [each.id for each in found if each.halted and each.state == "PENDING"],
            },
            in_place=not running,
        )

    async def apply(
        self, params: slurm.JobParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            found = await self._living(params, plan.receipt)
            if not found:
                return Failed(f"job {params.job} has ended meanwhile; there is nothing to suspend")
            todo = [each for each in found if not each.halted]
            if not todo:
                return AlreadyInPlace(plan.receipt, f"job {params.job} is halted")
            await slurm.control(self._own(), "hold", [each.id for each in todo if each.state == "PENDING"])
            await slurm.control(self._own(), "suspend", [each.id for each in todo if each.state != "PENDING"])
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"job {params.job} is suspended")

    async def verify(self, params: slurm.JobParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            found = await self._living(params, receipt)
        except TargetError as error:
            return Unknown(str(error))
        if not found:
            return NotInForce(f"job {params.job} has ended; if it was submitted again, it has another id")
        running = [f"{each.id} is {each.state}" for each in found if not each.halted]
        return NotInForce(", ".join(running[:10])) if running else InForce(f"job {params.job} is halted")

    async def undo(self, params: slurm.JobParams, receipt: Receipt, context: ActionContext) -> Undoing:
        suspended, held = receipt.get("suspended_before"), receipt.get("held_before")
        assert isinstance(suspended, list)
        assert isinstance(held, list)
        try:
            found = [each for each in await self._living(params, receipt) if each.halted]
            ours = [each for each in found if each.id not in suspended and each.id not in held]
            await slurm.control(self._own(), "release", [each.id for each in ours if each.state == "PENDING"])
            await slurm.control(self._own(), "resume", [each.id for each in ours if each.state == "SUSPENDED"])
        except TargetError as error:
            return Failed(f"{error}; or by hand: scontrol resume {params.job}, scontrol release {params.job}")
        return Undone(f"{len(ours)} tasks of job {params.job} go on")

    async def _living(self, params: slurm.JobParams, receipt: Receipt) -> list[slurm.Job]:
        found = await slurm.jobs(self._own(), job=params.job)
        return [each for each in found if not each.ended and each.submitted == receipt.get("submitted")]

    def _own(self) -> slurm.SlurmSettings:
        assert isinstance(self._settings, slurm.SlurmSettings)
        return self._settings

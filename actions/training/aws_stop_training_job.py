"""`aws.stop-training-job`: a training job of SageMaker to one that has stopped, and is billed no more."""

import asyncio
from typing import Annotated

from msgspec import Meta

from actions.aws import Aws, AwsSettings
from actions.support import TargetError, failed
from engine.action import Action, ActionContext, Params
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
    Target,
    Unknown,
    Verification,
)

_POLL_S = 2.0


class AwsStopTrainingJobParams(Params, frozen=True):
    """Which job."""

    job: Annotated[str, Meta(pattern=r"^[A-Za-z0-9](-*[A-Za-z0-9]){0,62}\Z", description="name of the training job")]


class AwsStopTrainingJobSettings(AwsSettings, frozen=True):
    """As for the other actions on AWS; `stop_within`: how long a job gets; let the `timeout` of its step be longer."""

    stop_within: Duration = Duration(150 * SECOND_US)


class AwsStopTrainingJob(Action[AwsStopTrainingJobParams]):
    """Stops a training job, in force once SageMaker says `Stopped`: it gives the job up to 120 s to save its model.

    Irreversible: SageMaker does not resume a job. Start another one from its checkpoint.
    """

    name = "aws.stop-training-job"
    params = AwsStopTrainingJobParams
    settings = AwsStopTrainingJobSettings
    target_kind = "training"
    reversible = False
    privileges = "sagemaker:DescribeTrainingJob and sagemaker:StopTrainingJob; `pip install 'halon[aws]'`"
    example = '{ do = "aws.stop-training-job", job = "run-7", timeout = "3m" }'

    async def check(self, params: AwsStopTrainingJobParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            status = await self._status(params, context)
        except TargetError as error:
            return failed(error)
        if status in {"Completed", "Failed"}:
            return Refused(f"{params.job} has ended: {status}")
        return Plan(
            target=Target("training", f"aws {params.job}"),
            would=f"stop {params.job}, which is {status}",
            receipt={"before": status},
            in_place=status == "Stopped",
        )

    async def apply(
        self, params: AwsStopTrainingJobParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            status = await self._status(params, context)
            if status == "Stopped":
                return AlreadyInPlace(plan.receipt, f"{params.job} has stopped")
            if status == "InProgress":
                await self._maker(context).call("stop_training_job", TrainingJobName=params.job)
            for _ in range(max(1, round(self._own().stop_within / SECOND_US / _POLL_S))):
                status = await self._status(params, context)
                if status not in {"InProgress", "Stopping"}:
                    break
                await asyncio.sleep(_POLL_S)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.job} is {status}")

    async def verify(self, params: AwsStopTrainingJobParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            status = await self._status(params, context)
        except TargetError as error:
            return Unknown(str(error))
        text = f"{params.job} is {status}"
        return NotInForce(text) if status in {"InProgress", "Stopping"} else InForce(text)

    async def _status(self, params: AwsStopTrainingJobParams, context: ActionContext) -> str:
        """Raises TargetError."""
        answer = await self._maker(context).found(
            "describe_training_job", "check the name of the job", TrainingJobName=params.job
        )
        return str(answer["TrainingJobStatus"])

    def _maker(self, context: ActionContext) -> Aws:
        return Aws("sagemaker", self._own(), context)

    def _own(self) -> AwsStopTrainingJobSettings:
        assert isinstance(self._settings, AwsStopTrainingJobSettings)
        return self._settings

"""`ray.stop-job`: a submitted job of a Ray cluster to one whose driver and workers are ended.

Source: Ray's job submission REST API, tried on Ray 2.60.
"""

import asyncio
from typing import Annotated

from msgspec import Meta

from actions.support import TargetError, failed, read_secret
from actions.web import Service, part
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
    Target,
    Unknown,
    Verification,
)

_POLL_S = 0.5


class RayStopJobParams(Params, frozen=True):
    """Which job."""

    job: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,128}\Z", description="submission id of the job, as `raysubmit_…`")
    ]


class RayStopJobSettings(Settings, frozen=True):
    """The dashboard, the secret with its token where it asks for one, and how long a job gets to end."""

    url: str = "http://127.0.0.1:8265"
    bearer_secret: str = ""
    ca_file: str = ""
    timeout: Duration = Duration(10 * SECOND_US)
    stop_within: Duration = Duration(20 * SECOND_US)


class RayStopJob(Action[RayStopJobParams]):
    """Stops a submitted job, in force once Ray says `STOPPED`: it ends the driver.

    Irreversible: Ray does not resume a job. Submit it again from its checkpoint.
    """

    name = "ray.stop-job"
    params = RayStopJobParams
    settings = RayStopJobSettings
    target_kind = "training"
    reversible = False
    privileges = "reach the dashboard of the cluster; its token where it asks for one"
    example = '{ do = "ray.stop-job", job = "raysubmit_7hXd2", timeout = "45s" }'

    async def check(self, params: RayStopJobParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            status = await self._status(params, context)
        except TargetError as error:
            return failed(error)
        if status in {"SUCCEEDED", "FAILED"}:
            return Refused(f"{params.job} has ended: {status}")
        return Plan(
            target=Target("training", f"ray {params.job}", {"cluster": self._own().url}),
            would=f"stop {params.job}, which is {status}",
            receipt={"before": status},
            in_place=status == "STOPPED",
        )

    async def apply(
        self, params: RayStopJobParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            if await self._status(params, context) == "STOPPED":
                return AlreadyInPlace(plan.receipt, f"{params.job} has stopped")
            service = self._service(context)
            answer = await service.call("POST", f"/api/jobs/{part(params.job)}/stop")
            if not answer.good:
                raise service.refused(answer, "stopping the job")
            status = ""
            for _ in range(max(1, round(self._own().stop_within / SECOND_US / _POLL_S))):
                status = await self._status(params, context)
                if status not in {"PENDING", "RUNNING"}:
                    break
                await asyncio.sleep(_POLL_S)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.job} is {status}")

    async def verify(self, params: RayStopJobParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            status = await self._status(params, context)
        except TargetError as error:
            return Unknown(str(error))
        text = f"{params.job} is {status}"
        return NotInForce(text) if status in {"PENDING", "RUNNING"} else InForce(text)

    async def _status(self, params: RayStopJobParams, context: ActionContext) -> str:
        """Raises TargetError."""
        service = self._service(context)
        answer = await service.call("GET", f"/api/jobs/{part(params.job)}")
        if answer.status == 404:
            raise TargetError(f"Ray has no job {params.job}; `ray job list` shows them")
        status = answer.body.get("status")
        if not answer.good or status not in {"PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"}:
            raise service.refused(answer, "the state of the job")
        return str(status)

    def _service(self, context: ActionContext) -> Service:
        settings = self._own()
        token = read_secret(context, settings.bearer_secret)
        return Service(
            "Ray",
            settings.url,
            rights="`bearer_secret` must name a secret with its token",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            ca_file=settings.ca_file,
            timeout_s=settings.timeout / SECOND_US,
        )

    def _own(self) -> RayStopJobSettings:
        assert isinstance(self._settings, RayStopJobSettings)
        return self._settings

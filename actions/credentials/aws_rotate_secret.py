"""`aws.rotate-secret`: a secret of AWS Secrets Manager to its next version, made by the rotation that it has there.

The version's id is made from the intent, so AWS starts one rotation however often the step is gone over.
"""

import uuid
from typing import Annotated

from msgspec import Meta

from actions.aws import Aws, AwsSettings
from actions.support import TargetError, failed, text_of
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
    Unknown,
    Verification,
)

_SPACE = uuid.UUID("5f5e3e0c-6a37-4f1b-9d9a-1f0f6a1f2c11")


class AwsRotateSecretParams(Params, frozen=True):
    """Which secret."""

    secret_id: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9/_+=.@:-]{1,512}\Z", description="name or ARN of the secret in Secrets Manager")
    ]


class AwsRotateSecret(Action[AwsRotateSecretParams]):
    """Rotates a secret at once, in force when the new version is the current one; its rotation function hands it on.

    Irreversible: a secret that may be in strange hands is never made current again.
    """

    name = "aws.rotate-secret"
    params = AwsRotateSecretParams
    settings = AwsSettings
    target_kind = "credential"
    reversible = False
    privileges = (
        "secretsmanager:DescribeSecret and secretsmanager:RotateSecret on the secret, which has a rotation function;"
        " `pip install 'halon[aws]'`"
    )
    example = '{ do = "aws.rotate-secret", secret_id = "prod/trainer" }'

    async def check(self, params: AwsRotateSecretParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            versions = await self._versions(params, context)
        except TargetError as error:
            return failed(error)
        version = _version(context)
        return Plan(
            target=Target("credential", f"aws secret {params.secret_id}"),
            would=f"rotate the secret {params.secret_id}",
            receipt={"version": version},
            in_place="AWSCURRENT" in versions.get(version, []),
        )

    async def apply(
        self, params: AwsRotateSecretParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        version = text_of(plan.receipt, "version")
        try:
            if "AWSCURRENT" in (await self._versions(params, context)).get(version, []):
                return AlreadyInPlace(plan.receipt, "it was rotated by this step")
            await self._manager(context).call(
                "rotate_secret", SecretId=params.secret_id, ClientRequestToken=version, RotateImmediately=True
            )
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"the rotation of {params.secret_id} is under way")

    async def verify(self, params: AwsRotateSecretParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            versions = await self._versions(params, context)
        except TargetError as error:
            return Unknown(str(error))
        version = text_of(receipt, "version")
        if "AWSCURRENT" in versions.get(version, []):
            return InForce(f"version {version} is the current one")
        pending = "; its rotation function is at it" if version in versions else ""
        return NotInForce(f"version {version} is not the current one{pending}")

    async def _versions(self, params: AwsRotateSecretParams, context: ActionContext) -> dict[str, list[str]]:
        """The stages of each version. Raises TargetError."""
        answer = await self._manager(context).found(
            "describe_secret", "check the name of the secret", SecretId=params.secret_id
        )
        return dict(answer.get("VersionIdsToStages") or {})

    def _manager(self, context: ActionContext) -> Aws:
        assert isinstance(self._settings, AwsSettings)
        return Aws("secretsmanager", self._settings, context)


def _version(context: ActionContext) -> str:
    return str(uuid.uuid5(_SPACE, context.intent))

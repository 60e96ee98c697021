"""`aws.disable-access-key`: an access key of an IAM user to one that AWS refuses."""

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
    Undoing,
    Undone,
    Unknown,
    Verification,
)


class AwsDisableAccessKeyParams(Params, frozen=True):
    """Which key."""

    user: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+=,.@_-]{1,64}\Z", description="name of the IAM user")]
    access_key_id: Annotated[
        str, Meta(pattern=r"^[A-Z0-9]{16,128}\Z", description="id of the key (`AKIA…`), never its secret")
    ]


class AwsDisableAccessKey(Action[AwsDisableAccessKeyParams]):
    """Makes an access key inactive; undo makes it active again. Session tokens made with it go on until they end.

    It takes AWS some seconds to follow everywhere.
    """

    name = "aws.disable-access-key"
    params = AwsDisableAccessKeyParams
    settings = AwsSettings
    target_kind = "credential"
    reversible = True
    privileges = "iam:ListAccessKeys and iam:UpdateAccessKey on the user; `pip install 'halon[aws]'`"
    example = (
        '{ do = "aws.disable-access-key", user = "trainer", access_key_id = "AKIAIOSFODNN7EXAMPLE", hold = "24h" }'
    )

    async def check(self, params: AwsDisableAccessKeyParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            status = await self._status(params, context)
        except TargetError as error:
            return failed(error)
        return Plan(
            target=Target("credential", f"aws {params.access_key_id}", {"user": params.user}),
            would=f"make the access key {params.access_key_id} of {params.user} inactive",
            receipt={"before": status},
            in_place=status == "Inactive",
        )

    async def apply(
        self, params: AwsDisableAccessKeyParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            if await self._status(params, context) == "Inactive":
                return AlreadyInPlace(plan.receipt, "the key is inactive")
            await self._set(params, context, "Inactive")
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.access_key_id} is inactive")

    async def verify(self, params: AwsDisableAccessKeyParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            status = await self._status(params, context)
        except TargetError as error:
            return Unknown(str(error))
        text = f"{params.access_key_id} is {status}"
        return InForce(text) if status == "Inactive" else NotInForce(text)

    async def undo(self, params: AwsDisableAccessKeyParams, receipt: Receipt, context: ActionContext) -> Undoing:
        if text_of(receipt, "before") != "Active":
            return Undone("the key was inactive before; it still is")
        try:
            if await self._status(params, context) == "Active":
                return Undone("the key is active already")
            await self._set(params, context, "Active")
        except TargetError as error:
            return Failed(f"{error}; or make {params.access_key_id} active by hand")
        return Undone(f"{params.access_key_id} is active again")

    async def _status(self, params: AwsDisableAccessKeyParams, context: ActionContext) -> str:
        """Raises TargetError."""
        iam = self._iam(context)
        answer = await iam.found("list_access_keys", "check the name of the user", UserName=params.user)
        for key in answer["AccessKeyMetadata"]:
            if key["AccessKeyId"] == params.access_key_id:
                return str(key["Status"])
        raise TargetError(
            f"{params.user} has no access key {params.access_key_id}; `aws iam list-access-keys` shows them"
        )

    async def _set(self, params: AwsDisableAccessKeyParams, context: ActionContext, status: str) -> None:
        await self._iam(context).call(
            "update_access_key", UserName=params.user, AccessKeyId=params.access_key_id, Status=status
        )

    def _iam(self, context: ActionContext) -> Aws:
        assert isinstance(self._settings, AwsSettings)
        return Aws("iam", self._settings, context)

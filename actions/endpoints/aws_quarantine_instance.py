"""`aws.quarantine-instance`: an EC2 instance to one that is in the quarantine security group alone."""

from typing import Annotated

from msgspec import Meta

from actions.aws import Aws, AwsSettings
from actions.support import TargetError, failed
from engine.action import Action, ActionContext, Params
from engine.model import (
    AlreadyInPlace,
    Applied,
    Conflict,
    Failed,
    InForce,
    Json,
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


class AwsQuarantineInstanceParams(Params, frozen=True):
    """Which instance."""

    instance: Annotated[str, Meta(pattern=r"^i-[0-9a-f]{8,17}\Z", description="id of the instance")]


class AwsQuarantineInstanceSettings(AwsSettings, frozen=True):
    """As for others on AWS; `group` is the id of a security group without rules (or only those of forensics)."""

    group: Annotated[str, Meta(pattern=r"^(sg-[0-9a-f]{8,17})?\Z")] = ""


class AwsQuarantineInstance(Action[AwsQuarantineInstanceParams]):
    """Puts all network interfaces of an instance into the quarantine group alone; undo gives them their groups back.

    Connections that AWS tracks go on until they are quiet, unless the network ACL cuts them.
    """

    name = "aws.quarantine-instance"
    params = AwsQuarantineInstanceParams
    settings = AwsQuarantineInstanceSettings
    target_kind = "endpoint"
    reversible = True
    privileges = "ec2:DescribeInstances and ec2:ModifyNetworkInterfaceAttribute; `pip install 'halon[aws]'`"
    example = '{ do = "aws.quarantine-instance", instance = "i-0123456789abcdef0", hold = "24h" }'

    async def check(self, params: AwsQuarantineInstanceParams, context: ActionContext) -> Plan | Refused | Failed:
        if not self._own().group:
            return Refused('set `group` of [actions."aws.quarantine-instance"]: the security group of the quarantine')
        try:
            groups = await self._groups(params, context)
        except TargetError as error:
            return failed(error)
        before: dict[str, Json] = {card: list(found) for card, found in groups.items()}
        return Plan(
            target=Target("endpoint", f"aws {params.instance}"),
            would=f"put {params.instance} into {self._own().group} alone",
            receipt={"before": before},
            in_place=self._alone(groups),
        )

    async def apply(
        self, params: AwsQuarantineInstanceParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            groups = await self._groups(params, context)
            if self._alone(groups):
                return AlreadyInPlace(plan.receipt, f"{params.instance} is in {self._own().group} alone")
            for card in groups:
                await self._set(context, card, [self._own().group])
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.instance} is in {self._own().group} alone")

    async def verify(
        self, params: AwsQuarantineInstanceParams, receipt: Receipt, context: ActionContext
    ) -> Verification:
        try:
            groups = await self._groups(params, context)
        except TargetError as error:
            return Unknown(str(error))
        text = f"{params.instance} is in {', '.join(sorted({each for found in groups.values() for each in found}))}"
        return InForce(text) if self._alone(groups) else NotInForce(text)

    async def undo(self, params: AwsQuarantineInstanceParams, receipt: Receipt, context: ActionContext) -> Undoing:
        before = receipt.get("before")
        old = before if isinstance(before, dict) else {}
        wanted = {card: tuple(str(each) for each in found) for card, found in old.items() if isinstance(found, list)}
        try:
            groups = await self._groups(params, context)
            # A card that is gone has nothing to give back, and one that was added since is not Halon's.
            changed = {card: found for card, found in groups.items() if card in wanted and found != wanted[card]}
            strange = sorted(card for card, found in changed.items() if found != (self._own().group,))
            if strange:
                return Conflict(f"someone changed the groups of {', '.join(strange)} since; all are left as they are")
            for card in changed:
                await self._set(context, card, list(wanted[card]))
        except TargetError as error:
            return Failed(f"{error}; or set the groups back by hand: {wanted}")
        return Undone(f"{params.instance} has its security groups back")

    def _alone(self, groups: dict[str, tuple[str, ...]]) -> bool:
        return all(found == (self._own().group,) for found in groups.values())

    async def _groups(self, params: AwsQuarantineInstanceParams, context: ActionContext) -> dict[str, tuple[str, ...]]:
        """The security groups of each network interface. Raises TargetError."""
        answer = await self._ec2(context).found(
            "describe_instances", "check the id of the instance", InstanceIds=[params.instance]
        )
        found = [each for group in answer["Reservations"] for each in group["Instances"]]
        cards = found[0]["NetworkInterfaces"] if found else []
        if not cards:
            raise TargetError(f"{params.instance} has no network interface; is it terminated?")
        return {
            each["NetworkInterfaceId"]: tuple(sorted(group["GroupId"] for group in each["Groups"])) for each in cards
        }

    async def _set(self, context: ActionContext, card: str, groups: list[str]) -> None:
        await self._ec2(context).call("modify_network_interface_attribute", NetworkInterfaceId=card, Groups=groups)

    def _ec2(self, context: ActionContext) -> Aws:
        return Aws("ec2", self._own(), context)

    def _own(self) -> AwsQuarantineInstanceSettings:
        assert isinstance(self._settings, AwsQuarantineInstanceSettings)
        return self._settings

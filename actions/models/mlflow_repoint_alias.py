"""`mlflow.repoint-alias`: an alias of a registered model to the last version that verifies.

A version verifies when it has the tag of the settings, which the pipeline that tests models sets, and is not blocked.
"""

from typing import Annotated

from msgspec import Meta

from actions.models.mlflow import MODEL, MlflowSettings, Models, Version
from actions.support import TargetError, failed
from engine.action import Action, ActionContext, Params
from engine.model import (
    AlreadyInPlace,
    Applied,
    Conflict,
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


class MlflowRepointAliasParams(Params, frozen=True):
    """Which alias of which model."""

    model: MODEL
    alias: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z", description="the alias that servers load, as `prod`")
    ] = "prod"


class MlflowRepointAlias(Action[MlflowRepointAliasParams]):
    """Lets an alias name the last version that verifies and is no newer; undo takes that back.

    Servers that have loaded a model go on with it until they load again.
    """

    name = "mlflow.repoint-alias"
    params = MlflowRepointAliasParams
    settings = MlflowSettings
    target_kind = "model"
    reversible = True
    privileges = "reach the tracking server; a token that may edit the model where it asks for one"
    example = '{ do = "mlflow.repoint-alias", model = "llm-a", alias = "prod", hold = "24h" }'

    async def check(self, params: MlflowRepointAliasParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            models = Models(self._own(), params.model, context)
            current = await models.alias(params.alias)
            if current is None:
                return Failed(f"MLflow has no alias {params.alias} of {params.model}; check both names")
            sound = [each.number for each in await models.versions() if each.number <= current and self._verifies(each)]
        except TargetError as error:
            return failed(error)
        if not sound:
            tag = self._own().verified_tag
            return Refused(f"no version of {params.model} up to {current} verifies (tag {tag}=true); name one by hand")
        return Plan(
            target=Target("model", f"mlflow {params.model}@{params.alias}"),
            would=f"let {params.model}@{params.alias} name version {sound[0]} instead of {current}",
            receipt={"before": current, "to": sound[0]},
            in_place=sound[0] == current,
        )

    async def apply(
        self, params: MlflowRepointAliasParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        to = _number(plan.receipt, "to")
        try:
            models = Models(self._own(), params.model, context)
            if await models.alias(params.alias) == to:
                return AlreadyInPlace(plan.receipt, f"{params.alias} names version {to}")
            await models.set_alias(params.alias, to)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.alias} names version {to}")

    async def verify(self, params: MlflowRepointAliasParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            current = await Models(self._own(), params.model, context).alias(params.alias)
        except TargetError as error:
            return Unknown(str(error))
        text = f"{params.model}@{params.alias} names version {current}"
        return InForce(text) if current == _number(receipt, "to") else NotInForce(text)

    async def undo(self, params: MlflowRepointAliasParams, receipt: Receipt, context: ActionContext) -> Undoing:
        before = _number(receipt, "before")
        try:
            models = Models(self._own(), params.model, context)
            current = await models.alias(params.alias)
            if current == before:
                return Undone(f"{params.alias} names version {before} already")
            if current != _number(receipt, "to"):
                return Conflict(f"someone let {params.alias} name version {current} since; left as it is")
            await models.set_alias(params.alias, before)
        except TargetError as error:
            return Failed(f"{error}; or let {params.alias} name version {before} by hand")
        return Undone(f"{params.alias} names version {before} again")

    def _verifies(self, version: Version) -> bool:
        return version.has(self._own().verified_tag) and not version.has(self._own().blocked_tag)

    def _own(self) -> MlflowSettings:
        assert isinstance(self._settings, MlflowSettings)
        return self._settings


def _number(receipt: Receipt, name: str) -> int:
    value = receipt.get(name)
    return value if isinstance(value, int) else 0

"""`mlflow.block-version`: a version of a registered model to one that no alias names, marked as blocked."""

from typing import Annotated

from msgspec import Meta

from actions.models.mlflow import MODEL, MlflowSettings, Models
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


class MlflowBlockVersionParams(Params, frozen=True):
    """Which version of which model."""

    model: MODEL
    version: Annotated[int, Meta(ge=1, le=1_000_000_000, description="number of the version")]


class MlflowBlockVersion(Action[MlflowBlockVersionParams]):
    """Removes all aliases of a version and marks it by a tag; undo gives it its aliases back.

    MLflow keeps nobody from loading a version by its number: servers must load by alias, or look at the tag.
    """

    name = "mlflow.block-version"
    params = MlflowBlockVersionParams
    settings = MlflowSettings
    target_kind = "model"
    reversible = True
    privileges = "reach the tracking server; a token that may edit the model where it asks for one"
    example = '{ do = "mlflow.block-version", model = "llm-a", version = 7, hold = "24h" }'

    async def check(self, params: MlflowBlockVersionParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            found = await Models(self._own(), params.model, context).version(params.version)
        except TargetError as error:
            return failed(error)
        if found is None:
            return Failed(f"MLflow has no version {params.version} of {params.model}; check both")
        blocked = found.has(self._own().blocked_tag)
        return Plan(
            target=Target("model", f"mlflow {params.model}/{params.version}"),
            would=f"mark {params.model}/{params.version}, remove its aliases {', '.join(found.aliases) or '(none)'}",
            receipt={"aliases": list(found.aliases), "before_blocked": blocked},
            in_place=blocked and not found.aliases,
        )

    async def apply(
        self, params: MlflowBlockVersionParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        tag = self._own().blocked_tag
        try:
            models = Models(self._own(), params.model, context)
            found = await models.version(params.version)
            if found is None:
                return Failed(f"version {params.version} of {params.model} is gone; check both")
            if found.has(tag) and not found.aliases:
                return AlreadyInPlace(plan.receipt, "it is blocked")
            if not found.has(tag):
                await models.set_tag(params.version, tag, "true")
            for alias in found.aliases:
                await models.drop_alias(alias)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.model}/{params.version} is blocked")

    async def verify(self, params: MlflowBlockVersionParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            found = await Models(self._own(), params.model, context).version(params.version)
        except TargetError as error:
            return Unknown(str(error))
        if found is None:
            return InForce("the version is gone")
        if found.aliases:
            return NotInForce(f"it is named by {', '.join(found.aliases)}")
        return InForce("it is blocked") if found.has(self._own().blocked_tag) else NotInForce("it is not marked")

    async def undo(self, params: MlflowBlockVersionParams, receipt: Receipt, context: ActionContext) -> Undoing:
        if receipt.get("before_blocked"):
            return Undone("it was blocked before; it still is")
        aliases = receipt.get("aliases")
        names = [str(each) for each in aliases] if isinstance(aliases, list) else []
        try:
            models = Models(self._own(), params.model, context)
            now = {name: await models.alias(name) for name in names}
            if taken := [name for name, number in now.items() if number not in {None, params.version}]:
                return Conflict(f"{', '.join(taken)} names another version since; all is left as it is")
            found = await models.version(params.version)
            if found is None:
                return Undone("the version is gone")
            if found.has(self._own().blocked_tag):
                await models.drop_tag(params.version, self._own().blocked_tag)
            for name in (name for name, number in now.items() if number is None):
                await models.set_alias(name, params.version)
        except TargetError as error:
            return Failed(f"{error}; or give {params.model}/{params.version} its aliases back by hand: {names}")
        return Undone(f"{params.model}/{params.version} is let in again")

    def _own(self) -> MlflowSettings:
        assert isinstance(self._settings, MlflowSettings)
        return self._settings

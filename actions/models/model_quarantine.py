"""`model.quarantine`: a model on disk to one that nobody loads: its folder is moved aside in one rename.

A server that has it loaded goes on with it until it reloads; isolate or drain that as well.
"""

from actions.models.registry import ModelParams, ModelSettings, Registry, identity
from actions.support import describe, move, text_of
from engine.action import Action, ActionContext
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


class ModelQuarantine(Action[ModelParams]):
    """Moves a model's folder into quarantine; undo moves it back."""

    name = "model.quarantine"
    params = ModelParams
    settings = ModelSettings
    target_kind = "model"
    reversible = True
    opposes = ("model.restore",)  # one takes the model away, the other puts one in its place
    privileges = "write access to `folder` and `quarantine`, which must be on one file system"
    example = '{ do = "model.quarantine", model = "fraud-detector", hold = "24h" }'

    async def check(self, params: ModelParams, context: ActionContext) -> Plan | Refused | Failed:
        registry = self._registry(params, context)
        try:
            why = registry.refuse()
        except OSError as error:
            why = describe(error)
        if why:
            return Failed(why)
        there = identity(registry.model)
        aside = sorted(registry.aside.parent.glob(f"{params.model}.*"))
        if not there and not aside:
            return Failed(f"there is no model {registry.model}; check its name, and `folder` in config.toml")
        return Plan(
            target=Target("model", str(registry.model)),
            would=f"move {registry.model} to {registry.aside}" if there else f"{params.model} is in quarantine already",
            receipt={"model": str(registry.model), "aside": str(registry.aside), "identity": there},
            in_place=not there,
        )

    async def apply(
        self, params: ModelParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        registry = self._registry(params, context)
        there = identity(registry.model)
        if not there:
            return AlreadyInPlace(plan.receipt, "it is in quarantine")
        if there != text_of(plan.receipt, "identity"):
            return Failed(f"{registry.model} was replaced since it was checked; look at it, and run the step again")
        try:
            move(registry.model, registry.aside)
        except OSError as error:
            return Failed(
                f"can't move {registry.model}: {describe(error)}; let halond write both folders", retryable=True
            )
        return Applied(plan.receipt, f"{registry.model} is in {registry.aside}")

    async def verify(self, params: ModelParams, receipt: Receipt, context: ActionContext) -> Verification:
        model, aside = text_of(receipt, "model"), text_of(receipt, "aside")
        try:
            there = self._registry(params, context).model
            if identity(there):
                return NotInForce(f"{model} is there")
        except OSError as error:
            return Unknown(describe(error))
        return InForce(f"{model} is not there; it is in {aside}")

    async def undo(self, params: ModelParams, receipt: Receipt, context: ActionContext) -> Undoing:
        registry = self._registry(params, context)
        ours = text_of(receipt, "identity")
        try:
            if not ours:
                return Undone("it was in quarantine before; it still is")
            there = identity(registry.model)
            if there == ours:
                return Undone(f"{registry.model} is back already")
            if there:
                return Conflict(f"someone put another model at {registry.model}; {registry.aside} was left as it is")
            if identity(registry.aside) != ours:
                return Conflict(f"someone took {registry.aside} away; there is nothing to move back")
            move(registry.aside, registry.model)
        except OSError as error:
            return Failed(f"can't move it back: {describe(error)}; by hand: mv {registry.aside} {registry.model}")
        return Undone(f"{registry.model} is back")

    def _registry(self, params: ModelParams, context: ActionContext) -> Registry:
        assert isinstance(self._settings, ModelSettings)
        return Registry(self._settings, params.model, context)

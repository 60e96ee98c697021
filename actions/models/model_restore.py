"""`model.restore`: a model that may be poisoned, to the last checkpoint that verifies against its SHA256SUMS.

The checkpoint is copied beside, the copy is verified, and both are swapped in one step; what was served goes to
quarantine, from where undo swaps it back.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.models.registry import (
    SUMS,
    ModelParams,
    ModelSettings,
    Registry,
    copy_tree,
    exchange,
    identity,
    newest_verifying,
    verifying,
)
from actions.support import TargetError, describe, failed, locked, move, sha256, text_of
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


class ModelRestoreParams(ModelParams, frozen=True):
    """Which model, and to which checkpoint."""

    version: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,127})?\Z",
            description="its backup; empty: the newest one that verifies",
        ),
    ] = ""


class ModelRestore(Action[ModelRestoreParams]):
    """Puts the newest (or a named) checkpoint that verifies in the place of a model; undo swaps them back."""

    name = "model.restore"
    params = ModelRestoreParams
    settings = ModelSettings
    target_kind = "model"
    reversible = True
    privileges = (
        "read `backups`; write `folder` and `quarantine`, which must be on one file system with room for a copy"
    )
    example = '{ do = "model.restore", model = "fraud-detector", approve = true }'

    async def check(self, params: ModelRestoreParams, context: ActionContext) -> Plan | Refused | Failed:
        return await asyncio.to_thread(self._check, params, context)

    def _check(self, params: ModelRestoreParams, context: ActionContext) -> Plan | Refused | Failed:
        registry = self._registry(params, context)
        try:
            if why := registry.refuse():
                return Failed(why)
            version, rejected = params.version, dict[str, str]()
            if not version:
                version, rejected = newest_verifying(registry.backups)
            elif why := verifying(registry.backups / version):
                return Failed(f"that backup does not verify: {why}")
            sums = sha256((registry.backups / version / SUMS).read_bytes())
        except TargetError as error:
            return failed(error)
        except OSError as error:
            return Failed(f"can't read the backups: {describe(error)}; set `backups` in config.toml")
        passed = f"; passed over: {', '.join(rejected)}" if rejected else ""
        return Plan(
            target=Target("model", str(registry.model)),
            would=f"put {version} in the place of {registry.model}{passed}",
            receipt={
                "version": version,
                "sums_sha256": sums,
                "before": identity(registry.model),
                "aside": str(registry.aside),
            },
            in_place=not verifying(registry.model, sums),
        )

    async def apply(
        self, params: ModelRestoreParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            changed = await asyncio.to_thread(_restore, self._registry(params, context), plan.receipt)
        except TargetError as error:
            return failed(error)
        except OSError as error:
            return Failed(f"can't restore: {describe(error)}; correct that and run it again")
        detail = f"{text_of(plan.receipt, 'version')} is in place"
        return Applied(plan.receipt, detail) if changed else AlreadyInPlace(plan.receipt, detail)

    async def verify(self, params: ModelRestoreParams, receipt: Receipt, context: ActionContext) -> Verification:
        model = self._registry(params, context).model
        try:
            why = await asyncio.to_thread(verifying, model, text_of(receipt, "sums_sha256"))
        except OSError as error:
            return Unknown(describe(error))
        return NotInForce(why) if why else InForce(f"{model} verifies as {text_of(receipt, 'version')}")

    async def undo(self, params: ModelRestoreParams, receipt: Receipt, context: ActionContext) -> Undoing:
        try:
            return await asyncio.to_thread(_undo, self._registry(params, context), receipt)
        except OSError as error:
            return Failed(f"can't put the model back: {describe(error)}; it is in {text_of(receipt, 'aside')}")

    def _registry(self, params: ModelRestoreParams, context: ActionContext) -> Registry:
        assert isinstance(self._settings, ModelSettings)
        return Registry(self._settings, params.model, context)


def _restore(registry: Registry, receipt: Receipt) -> bool:
    """Whether anything was changed. Two runs of it take turns, also when nobody waits for the first any more."""
    sums = text_of(receipt, "sums_sha256")
    with locked(registry.aside.parent):
        if not verifying(registry.model, sums):
            return False
        if identity(registry.model) not in {"", text_of(receipt, "before")}:
            # Ours, but changed since: a new copy takes its place, and what `aside` holds stays the state before.
            return _swap(registry, sums, receipt, registry.aside.with_name(f"{registry.aside.name}.again"))
        return _swap(registry, sums, receipt, registry.aside)


def _swap(registry: Registry, sums: str, receipt: Receipt, staged: Path) -> bool:
    copy_tree(registry.backups / text_of(receipt, "version"), staged)
    if why := verifying(staged, sums):
        raise TargetError(f"the copy does not verify: {why}; nothing was changed")
    if identity(registry.model):
        exchange(staged, registry.model)
    else:
        move(staged, registry.model)
    return True


def _undo(registry: Registry, receipt: Receipt) -> Undoing:
    before, there = text_of(receipt, "before"), identity(registry.model)
    aside = Path(text_of(receipt, "aside"))
    if there == before:
        return Undone("it was so before")
    if verifying(registry.model, text_of(receipt, "sums_sha256")):
        return Conflict(f"someone changed {registry.model} since; left as it is")
    if before:
        if identity(aside) != before:
            return Conflict(f"someone took the model from {aside}; left as it is")
        exchange(aside, registry.model)
    else:
        move(registry.model, aside)
    shutil.rmtree(aside, ignore_errors=True)
    return Undone(f"{registry.model} is as it was before")

"""`model.restore`: a model that may be poisoned, to the newest checkpoint that is sound and older than the poison.

The checkpoint is copied beside, the copy is verified, and both are swapped in one step; what was served goes to
quarantine, from where undo swaps it back.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.models.registry import (
    ModelParams,
    ModelSettings,
    Registry,
    copy_tree,
    exchange,
    identity,
)
from actions.support import TargetError, describe, failed, locked, move, text_of
from engine.action import Action, ActionContext
from engine.clock import format_time, parse_time_us
from engine.forensics.checkpoints import Checkpoint, Standing, examine_checkpoint, newest_sound, why_tampered
from engine.forensics.report import EvidenceError
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
    """Which model, and to which checkpoint; one that was tampered with or called contaminated is never taken."""

    version: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,127})?\Z",
            description="its checkpoint; empty: the newest one that is sound",
        ),
    ] = ""
    before: Annotated[
        str,
        Meta(
            pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9:]{5}))?\Z",
            description="only one of data from before this time, as `${incident.since}`; empty: of any time",
        ),
    ] = ""


class ModelRestore(Action[ModelRestoreParams]):
    """Puts the newest (or a named) sound checkpoint in the place of a model; undo swaps them back."""

    name = "model.restore"
    params = ModelRestoreParams
    settings = ModelSettings
    target_kind = "model"
    reversible = True
    privileges = (
        "read `backups`; write `folder` and `quarantine`, which must be on one file system with room for a copy"
    )
    example = '{ do = "model.restore", model = "fraud-detector", before = "${incident.since}", approve = true }'

    async def check(self, params: ModelRestoreParams, context: ActionContext) -> Plan | Refused | Failed:
        return await asyncio.to_thread(self._check, params, context)

    def _check(self, params: ModelRestoreParams, context: ActionContext) -> Plan | Refused | Failed:
        registry = self._registry(params, context)
        try:
            if why := registry.refuse():
                return Failed(why)
            before_us = parse_time_us(params.before) if params.before else None
            chosen, rejected = _choose(registry.backups, params.version, before_us)
        except EvidenceError as error:
            return Failed(str(error))
        except ValueError as error:
            return Refused(f"`before`: {error}")
        except OSError as error:
            return Failed(f"can't read the backups: {describe(error)}; set `backups` in config.toml")
        passed = f"; passed over: {', '.join(rejected)}" if rejected else ""
        return Plan(
            target=Target("model", str(registry.model)),
            would=f"put {chosen.version} in the place of {registry.model}{passed}",
            receipt={
                "version": chosen.version,
                "sums_sha256": chosen.sums_sha256,
                "before": identity(registry.model),
                "aside": str(registry.aside),
            },
            in_place=not why_tampered(registry.model, chosen.sums_sha256),
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
            why = await asyncio.to_thread(why_tampered, model, text_of(receipt, "sums_sha256"))
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


def _choose(backups: Path, version: str, before_us: int | None) -> tuple[Checkpoint, dict[str, str]]:
    """The checkpoint to restore, and why newer ones were passed over. Raises EvidenceError where none may be."""
    if not version:
        return newest_sound(backups, before_us=before_us)
    found = examine_checkpoint(backups, version)
    if found.standing is not Standing.SOUND:
        raise EvidenceError(f"checkpoint {version} is {found.standing}: {found.why}")
    if before_us is not None and found.time_us >= before_us:
        raise EvidenceError(f"checkpoint {version} is of {format_time(found.time_us)}, not from before that time")
    return found, {}


def _restore(registry: Registry, receipt: Receipt) -> bool:
    """Whether anything was changed. Two runs of it take turns, also when nobody waits for the first any more."""
    sums = text_of(receipt, "sums_sha256")
    with locked(registry.aside.parent):
        if not why_tampered(registry.model, sums):
            return False
        if identity(registry.model) not in {"", text_of(receipt, "before")}:
            # Ours, but changed since: a new copy takes its place, and what `aside` holds stays the state before.
            return _swap(registry, sums, receipt, registry.aside.with_name(f"{registry.aside.name}.again"))
        return _swap(registry, sums, receipt, registry.aside)


def _swap(registry: Registry, sums: str, receipt: Receipt, staged: Path) -> bool:
    copy_tree(registry.backups / text_of(receipt, "version"), staged)
    if why := why_tampered(staged, sums):
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
    if why_tampered(registry.model, text_of(receipt, "sums_sha256")):
        return Conflict(f"someone changed {registry.model} since; left as it is")
    if before:
        if identity(aside) != before:
            return Conflict(f"someone took the model from {aside}; left as it is")
        exchange(aside, registry.model)
    else:
        move(registry.model, aside)
    shutil.rmtree(aside, ignore_errors=True)
    return Undone(f"{registry.model} is as it was before")

"""`[playbook.ID]` tables to checked playbooks; `engine.rulefile.load` calls this.

Parameters are checked against the struct of the action as far as they are literal; a string with `${…}` has its
value only when the step is decided.
"""

from typing import Any

from engine.cel.declare import ScopeKind
from engine.cel.runtime import Want
from engine.diagnostics import error, quoted, suggest
from engine.model import Phase, PlaybookId
from engine.rulefile.context import Context, has_template
from engine.rulefile.namespace import Entry
from engine.rulefile.rules import Playbook, Step
from engine.rulefile.shape import PlaybookTable, StepTable
from engine.structread import read_struct
from engine.tomlfile import KeyPath

STEPS_MAX = 100
"""Most steps of one phase."""
_STEP_KEYS = frozenset(("do", "on_failure", "hold", "timeout", "retries", "approve", "when"))


def build_playbook(entry: Entry, context: Context) -> Playbook | None:
    """The checked playbook of one table; None where something is wrong with it."""
    before = context.findings.errors()
    phases = [phase.value for phase in Phase]
    what, table = entry.what, entry.table
    context.findings.extend(read_struct(PlaybookTable, table, entry.file, entry.path, what=what, other_keys=phases)[1])
    built = {phase: _phase(entry, phase, context) for phase in phases}
    if not any(table.get(phase) for phase in phases):
        context.findings.add(
            error(
                "H051",
                f"{what} has no steps",
                entry.file.key(entry.path),
                label="does nothing",
                help='add steps, as in `contain = [{ do = "process.freeze", … }]`; `halon actions` lists what there is',
            )
        )
    if context.findings.errors() > before:
        return None
    return Playbook(id=PlaybookId(entry.id), **built)


def _phase(entry: Entry, phase: str, context: Context) -> tuple[Step, ...]:
    steps, path = entry.table.get(phase, []), (*entry.path, phase)
    if not isinstance(steps, list):
        context.findings.add(context.no_step(entry.file, path, f"`{phase}`", "a list of steps", steps))
        return ()
    if len(steps) > STEPS_MAX:
        title = f"`{phase}` of {entry.what} has more than {STEPS_MAX} steps"
        context.findings.add(error("H003", title, entry.file.value(path), label="too many"))
        return ()
    built = [_step(each, (*path, index), entry, context) for index, each in enumerate(steps)]
    return tuple(step for step in built if step is not None)


def _step(table: object, path: KeyPath, entry: Entry, context: Context) -> Step | None:
    file, findings = entry.file, context.findings
    if not isinstance(table, dict):
        findings.add(context.no_step(file, path, "a step", "a table", table))
        return None
    before = findings.errors()
    given = {key: value for key, value in table.items() if key not in _STEP_KEYS}
    shape, found = read_struct(StepTable, table, file, path, what=f"a step of {entry.what}", other_keys=given)
    findings.extend(found)
    when = context.expression(file, (*path, "when"), table.get("when"), ScopeKind.STEP, Want.BOOL)
    params = {key: context.parameter(file, (*path, key), value) for key, value in given.items()}
    _check_action(table, given, path, entry, context)
    if shape is None or findings.errors() > before:
        return None
    return Step(
        action=shape.do,
        params=params,
        on_failure=shape.on_failure,
        hold_us=None if shape.hold is None else int(shape.hold),
        timeout_us=context.step_timeout_us if shape.timeout is None else int(shape.timeout),
        retries=context.step_retries if shape.retries is None else shape.retries,
        approve=shape.approve,
        when=when,
    )


def _check_action(table: dict[str, Any], given: dict[str, Any], path: KeyPath, entry: Entry, context: Context) -> None:
    """The action exists, takes these parameters, and can be undone where the step asks for a lease."""
    name, file = table.get("do"), entry.file
    if not isinstance(name, str):
        return
    action = context.catalogue.get(name)
    if action is None:
        hint = suggest(name, context.catalogue.actions)
        context.findings.add(
            error(
                "H012",
                f"unknown action {quoted(name)}",
                file.value((*path, "do")),
                label="no such action",
                help=f"{hint}  (`halon actions` lists all)" if hint else "`halon actions` lists all",
            )
        )
        return
    what = f"action {quoted(name)}"
    found = read_struct(action.params, given, file, path, what=what, opaque=has_template, blame=(*path, "do"))[1]
    context.findings.extend(found)
    if "hold" in table and not action.reversible:
        context.findings.add(
            error(
                "H050",
                f"{what} can't be undone, so nothing can be held",
                file.key((*path, "hold")),
                label="only a reversible effect is leased",
                help="remove `hold`; with `approve = true` a person decides first",
            )
        )

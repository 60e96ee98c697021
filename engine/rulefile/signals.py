"""`[signal.ID]` tables to checked signals; `engine.rulefile.load` calls this."""

import re
from typing import Any

from engine.cel.contract import Expression
from engine.cel.declare import ScopeKind
from engine.cel.runtime import Want
from engine.detectors.contract import Detector
from engine.diagnostics import Diagnostic, Level, error, quoted, suggest
from engine.model import SignalId
from engine.rulefile.context import Context
from engine.rulefile.digests import signal_digest
from engine.rulefile.namespace import Entry
from engine.rulefile.rules import Detect, EventTypes, SignalRule
from engine.rulefile.samples import read_sample
from engine.rulefile.shape import DetectTable, SignalTable
from engine.rulefile.watched import build_watched
from engine.structread import read_struct
from engine.tomlfile import KeyPath

KEYS_MAX = 8
"""Most named keys of one signal."""
_EVENT_TYPE = re.compile(r"[^\s*]+(?:\.\*)?")
_EVENT_TYPE_CHARS_MAX = 256
_KEY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)


def build_signal(entry: Entry, context: Context) -> SignalRule | None:
    """The checked signal of one table; None where something is wrong with it."""
    before = context.findings.errors()
    table = entry.table
    shape, found = read_struct(
        SignalTable, table, entry.file, entry.path, what=entry.what, other_keys=("detect", "watched")
    )
    context.findings.extend(found)
    on = _event_types(entry, context)
    where = context.expression(entry.file, (*entry.path, "where"), table.get("where"), ScopeKind.EVENT, Want.BOOL)
    value = context.expression(entry.file, (*entry.path, "value"), table.get("value"), ScopeKind.EVENT, Want.NUMBER)
    by = _keys(entry, context)
    detect = _detect(entry, context) if "detect" in table else None
    watched = build_watched(entry, context, detect) if "watched" in table else None
    if "detect" not in table and "value" in table:
        context.findings.add(_unused(entry, (*entry.path, "value"), "without `detect` no value is looked at"))
    if shape is None or context.findings.errors() > before:
        return None
    return SignalRule(
        id=SignalId(entry.id),
        on=on,
        by=by,
        where=where,
        value=value,
        detect=detect,
        watched=watched,
        for_us=int(shape.for_),
        cooldown_us=int(shape.cooldown),
        description=shape.description or shape.title,
        digest=signal_digest(
            table, context.lists, context.values, detect.sample.digest if detect and detect.sample else None
        ),
    )


def _event_types(entry: Entry, context: Context) -> EventTypes:
    """`on` as exact names and prefixes; what is not a text was found with the shape."""
    on, path = entry.table.get("on"), (*entry.path, "on")
    written: list[tuple[KeyPath, str]] = [(path, on)] if isinstance(on, str) else []
    if isinstance(on, list):
        written = [((*path, index), each) for index, each in enumerate(on) if isinstance(each, str)]
        if not on:
            context.findings.add(
                error(
                    "H030",
                    f"{entry.what} listens to nothing",
                    entry.file.value(path),
                    label="an empty list",
                    help='name at least one event type, as in `on = "training.step"`',
                )
            )
    for place, each in written:
        if not _EVENT_TYPE.fullmatch(each) or len(each) > _EVENT_TYPE_CHARS_MAX:
            context.findings.add(
                error(
                    "H030",
                    f"{quoted(each)} is not an event type",
                    entry.file.value(place),
                    label="a name, or a prefix that ends in `.*`",
                    help='write for example "training.step", or "training.*" for all that begin with `training.`',
                )
            )
    names = {each for _, each in written}
    return EventTypes(
        exact=frozenset(name for name in names if not name.endswith(".*")),
        prefixes=tuple(sorted(name[:-1] for name in names if name.endswith(".*"))),
    )


def _keys(entry: Entry, context: Context) -> tuple[tuple[str, Expression], ...]:
    """`by` as (name, CEL) pairs in the order of the names."""
    by, path = entry.table.get("by"), (*entry.path, "by")
    if not isinstance(by, dict):
        return ()
    if len(by) > KEYS_MAX:
        context.findings.add(
            error("H003", f"{entry.what} has more than {KEYS_MAX} keys", entry.file.value(path), label="too many")
        )
        return ()
    keys: list[tuple[str, Expression]] = []
    for name, source in sorted(by.items()):
        if not _KEY_NAME.fullmatch(name):
            context.findings.add(
                error(
                    "H010",
                    f"{quoted(name)} is not a name for a key",
                    entry.file.key((*path, name)),
                    label="letters, digits, `_` and `-`",
                    help='name what the value is, as in `by = { run = "event.subject" }`',
                )
            )
        expression = context.expression(entry.file, (*path, name), source, ScopeKind.EVENT, Want.STRING)
        if expression is not None:
            keys.append((name, expression))
    return tuple(keys)


def _detect(entry: Entry, context: Context) -> Detect | None:
    """`detect` as a detector with its parameters."""
    table, path, file = entry.table["detect"], (*entry.path, "detect"), entry.file
    what = f"`detect` of {entry.what}"
    if not isinstance(table, dict):
        context.findings.extend(read_struct(DetectTable, table, file, path, what=what)[1])
        return None
    method = table.get("method")
    detector = context.detectors.methods.get(method) if isinstance(method, str) else None
    want = Want.BOOL if detector is not None and detector.of_is_bool else Want.ANY
    of = context.expression(file, (*path, "of"), table.get("of"), ScopeKind.EVENT, want)
    parameters = tuple(table.keys() - {"method", "of"})
    before = context.findings.errors()
    table = {key: context.settled(file, (*path, key), table[key]) if key in parameters else table[key] for key in table}
    unsettled = context.findings.errors() > before
    context.findings.extend(read_struct(DetectTable, table, file, path, what=what, other_keys=parameters)[1])
    if detector is None:
        if isinstance(method, str):
            known = context.detectors.methods
            hint = suggest(method, known) or f"known: {', '.join(f'`{each}`' for each in sorted(known))}"
            context.findings.add(
                error(
                    "H015",
                    f"unknown detection method {quoted(method)}",
                    file.value((*path, "method")),
                    label="no such method",
                    help=hint,
                )
            )
        return None
    if unsettled:
        return None
    params, found = read_struct(
        detector.params_type,
        table,
        file,
        path,
        what=f"method `{detector.method}`",
        other_keys=("method", "of"),
        blame=(*path, "method"),
    )
    context.findings.extend(found)
    context.findings.extend(_needs(entry, detector, path))
    if params is None:
        return None
    sample = read_sample(file, path, detector, params)
    if isinstance(sample, Diagnostic):
        context.findings.add(sample)
        return None
    return Detect(method=detector.method, detector=detector, params=params, of=of, sample=sample)


def _needs(entry: Entry, detector: type[Detector[Any]], path: KeyPath) -> list[Diagnostic]:
    """`value` and `of` must be there exactly where the method looks at them."""
    found: list[Diagnostic] = []
    place = entry.file.value((*path, "method"))
    method = f"method `{detector.method}`"
    if detector.needs_value and "value" not in entry.table:
        found.append(
            error(
                "H031",
                f"{method} needs a `value`, and {entry.what} has none",
                place,
                label="looks at a number",
                help='add `value = "event.data.…"` to the signal, a CEL number',
            )
        )
    if detector.needs_of and "of" not in entry.table["detect"]:
        found.append(
            error(
                "H032",
                f"{method} needs `of`",
                place,
                label="looks at an expression",
                help='add `of = "event.data.…"` inside `detect`',
            )
        )
    own_for = "for" in detector.params_type.__struct_encode_fields__
    if "for" in entry.table and (detector.restarts or own_for):
        found.append(
            error(
                "H034",
                f"`for` of {entry.what} can't stand with {method}",
                entry.file.key((*entry.path, "for")),
                label="the method has its own, inside `detect`" if own_for else "each finding starts it afresh",
                help="write it inside `detect`" if own_for else "ask for more in the window instead, or use `cooldown`",
            )
        )
    if not detector.needs_value and "value" in entry.table:
        found.append(_unused(entry, (*entry.path, "value"), f"{method} does not look at a value"))
    if not detector.needs_of and "of" in entry.table["detect"]:
        found.append(_unused(entry, (*path, "of"), f"{method} does not look at `of`"))
    return found


def _unused(entry: Entry, path: KeyPath, why: str) -> Diagnostic:
    return Diagnostic(
        code="H033",
        level=Level.WARNING,
        title=f"`{path[-1]}` of {entry.what} is not used",
        span=entry.file.key(path),
        label=why,
        help=f"remove `{path[-1]}`, or choose a method that looks at it",
    )

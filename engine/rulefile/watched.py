"""`watched` of a `[signal.ID]` table to the detector that keys on the watch list have besides their own.

`engine.rulefile.signals` calls this.
"""

import msgspec

from engine.diagnostics import error, quoted, suggest
from engine.rulefile.context import Context
from engine.rulefile.namespace import Entry
from engine.rulefile.rules import Detect
from engine.rulefile.shape import NoKeys
from engine.structread import read_struct


def build_watched(entry: Entry, context: Context, detect: Detect | None) -> Detect | None:
    """`watched` as the same detector with some parameters of its own."""
    table, path, file = entry.table["watched"], (*entry.path, "watched"), entry.file
    what = f"`watched` of {entry.what}"
    plain = entry.table.get("detect")
    if not isinstance(table, dict):
        context.findings.extend(read_struct(NoKeys, table, file, path, what=what)[1])
        return None
    if not table or "detect" not in entry.table:
        context.findings.add(
            error(
                "H036",
                f"{what} changes nothing",
                file.key(path),
                label="empty" if not table else "there is no `detect` whose parameters it could change",
                help="name parameters of the method with their values for keys on the watch list"
                if not table
                else "give the signal a `detect`; without one every event is a signal already",
            )
        )
        return None
    if detect is None or not isinstance(plain, dict):
        return None  # said already
    wanted = detect.detector.params_type
    fields = [each.encode_name for each in msgspec.structs.fields(wanted)]
    names = [each for each in fields if each != detect.detector.file_key]
    unknown = [key for key in table if key not in names]
    for key in unknown:
        title = f"`watched` can't change {quoted(key)} of method `{detect.method}`"
        hint = suggest(key, names) or f"it may have {', '.join(f'`{each}`' for each in names)}"
        context.findings.add(error("H004", title, file.key((*path, key)), label="no such parameter", help=hint))
    before = context.findings.errors()
    rest = {
        key: context.settled(file, (*entry.path, "detect", key), value) for key, value in plain.items() if key in fields
    }
    own = {key: context.settled(file, (*path, key), value) for key, value in table.items() if key in names}
    if context.findings.errors() > before:
        return None
    params, found = read_struct(wanted, {**rest, **own}, file, path, what=what)
    context.findings.extend(found)
    return None if params is None else msgspec.structs.replace(detect, params=params)

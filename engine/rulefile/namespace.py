"""Read files to one namespace of tables: every `[kind.id]` of every file, each id once per kind.

`engine.rulefile.load` calls this before anything is resolved, so that a name used in one file may stand in another.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from engine.diagnostics import Diagnostic, Note, error, quoted, suggest
from engine.rulefile.findings import Findings
from engine.rulefile.taxonomy import TAXONOMY
from engine.structread import type_word
from engine.tomlfile import KeyPath, TomlFile

Kind = Literal["list", "value", "incident", "signal", "playbook", "rule"]
KINDS: tuple[Kind, ...] = ("list", "value", "incident", "signal", "playbook", "rule")
_NAMED: tuple[Kind, ...] = ("list", "value")
"""Those that CEL reads, so that their ids are names of its own."""

_KEBAB = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_SNAKE = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_ID_CHARS_MAX = 100


class Entry:
    """One table `[kind.id]` and where it stands."""

    __slots__ = ("file", "id", "kind", "table")

    def __init__(self, kind: Kind, id_: str, table: dict[str, Any], file: TomlFile) -> None:
        self.kind: Kind = kind
        self.id = id_
        self.table = table
        self.file = file

    @property
    def path(self) -> KeyPath:
        """Where the table stands in its file."""
        return (self.kind, self.id)

    @property
    def what(self) -> str:
        """The table for people."""
        return f"{self.kind} {quoted(self.id)}"

    @property
    def place(self) -> str:
        """`path:line` of its header."""
        span = self.file.key(self.path)
        return f"{span.path}:{span.line}"


class Namespace:
    """All tables by kind and id, in the order of the files."""

    def __init__(self) -> None:
        self._tables: dict[Kind, dict[str, Entry]] = {kind: {} for kind in KINDS}

    def of(self, kind: Kind) -> dict[str, Entry]:
        """The tables of one kind by id."""
        return self._tables[kind]


def gather(files: Sequence[TomlFile], findings: Findings) -> Namespace:
    """The tables of all files; unknown kinds, bad and repeated ids become findings."""
    names = Namespace()
    for file in files:
        for entry in _entries(file, findings):
            _check_id(entry, findings)
            known = names.of(entry.kind)
            if entry.kind == "incident" and entry.id in TAXONOMY:
                findings.add(
                    error(
                        "H009",
                        f"incident type {quoted(entry.id)} is built in",
                        file.key(entry.path),
                        label="can't be declared again",
                        help="use it without declaring it, or choose another id",
                    )
                )
            elif entry.id in known:
                findings.add(_twice(entry, known[entry.id]))
            else:
                known[entry.id] = entry
    return names


def _entries(file: TomlFile, findings: Findings) -> Iterator[Entry]:
    for kind, tables in file.table.items():
        if findings.full:
            return
        if kind not in KINDS:
            findings.add(_unknown_kind(kind, file))
        elif not isinstance(tables, dict):
            findings.add(_not_a_table((kind,), f"`{kind}`", f"[{kind}.ID]", tables, file))
        else:
            for id_, table in tables.items():
                if isinstance(table, dict):
                    yield Entry(kind, id_, table, file)
                else:
                    what = f"{kind} {quoted(id_)}"
                    findings.add(_not_a_table((kind, id_), what, f"[{kind}.ID]", table, file))


def _unknown_kind(kind: str, file: TomlFile) -> Diagnostic:
    hint = (
        suggest(kind, KINDS)
        or "a rule file has `[signal.ID]`, `[rule.ID]`, `[playbook.ID]`, `[list.ID]`, `[value.ID]`, `[incident.ID]`"
    )
    if kind in ("test", "tests"):
        hint = "tests stand in files of their own, named `….test.toml`"
    return error(
        "H004", f"unknown key {quoted(kind)} in a rule file", file.key((kind,)), label="no such key", help=hint
    )


def _not_a_table(path: KeyPath, what: str, header: str, value: object, file: TomlFile) -> Diagnostic:
    is_word = type_word(value)
    help_ = f"write it as `{header}`"
    return error(
        "H006", f"{what} must be a table, not {is_word}", file.value(path), label=f"this is {is_word}", help=help_
    )


def _check_id(entry: Entry, findings: Findings) -> None:
    pattern, form, example = (
        (_SNAKE, "snake_case", "admin_users") if entry.kind in _NAMED else (_KEBAB, "kebab-case", "loss-spike")
    )
    if not pattern.fullmatch(entry.id) or len(entry.id) > _ID_CHARS_MAX:
        findings.add(
            error(
                "H010",
                f"{quoted(entry.id)} is not an id for a {entry.kind}",
                entry.file.key(entry.path),
                label=f"ids of {entry.kind}s are {form}",
                help=f"use small letters and digits, as in `{example}`; at most {_ID_CHARS_MAX} characters",
            )
        )


def _twice(entry: Entry, first: Entry) -> Diagnostic:
    return error(
        "H009",
        f"{entry.what} is defined twice",
        entry.file.key(entry.path),
        label="defined again here",
        help="all rule files share one namespace: give one of them another id",
        notes=(Note(span=first.file.key(first.path), label="first defined here"),),
    )

"""Plain values of a TOML file to a msgspec struct, or to every mistake in them with its place.

`engine.configfile` and `engine.rulefile` read all tables, action parameters and detector parameters this way.
msgspec stops at the first mistake; this walks the fields itself, judges each single value by msgspec, and builds the
struct only when nothing was found.
"""

import datetime as dt
import re
import types
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cache
from math import isfinite
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from engine.clock import Duration, decode_hook
from engine.diagnostics import Diagnostic, Span, error, quoted, suggest
from engine.tomlfile import KeyPath, TomlFile

StructT = TypeVar("StructT", bound=msgspec.Struct)

Opaque = Callable[[object], bool]
"""Says of a value whether it is known at run time only (a template) and so can't be judged now."""

FINDINGS_MAX = 200
"""Most diagnostics of one table: a list of 100,000 wrong elements is one mistake, not 100,000."""

_CONTAINERS = (list, tuple, set, frozenset)
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text in quotes",
    "bool": "`true` or `false`",
    "array": "a list in `[ ]`",
    "object": "a table in `{ }`",
}


def read_struct(
    wanted: type[StructT],
    table: object,
    file: TomlFile,
    path: KeyPath,
    *,
    what: str,
    other_keys: Iterable[str] = (),
    opaque: Opaque = lambda _: False,
    blame: KeyPath | None = None,
) -> tuple[StructT | None, list[Diagnostic]]:
    """The struct that `table` (at `path` of `file`) spells, and the diagnostics; None where there are any.

    `what` names the table for people (``signal `loss-spike` ``). `other_keys` may stand in the table and are judged
    elsewhere. Where `opaque` says so a value is not judged, and then no struct is built either. A missing key is shown
    at the value at `blame`, or at the head of the table.
    """
    walk = _Walk(file, opaque, path, blame)
    if not isinstance(table, dict):
        walk.wrong_type(table, path, "object", what)
        return None, walk.found
    others = frozenset(other_keys)
    walk.struct(wanted, table, path, what, others)
    if walk.found or walk.opaque_seen:
        return None, walk.found
    try:
        own = {key: value for key, value in table.items() if key not in others} if others else table
        return msgspec.convert(own, wanted, dec_hook=decode_hook), []
    except (msgspec.ValidationError, OverflowError) as fault:
        # Only what a struct checks as a whole comes here: its `__post_init__`.
        place = file.key(path) if blame is None else file.value(blame)
        return None, [error("H007", f"in {what}: {fault}", place, label="does not hold together")]


def type_word(value: object) -> str:
    """What a TOML value is, for people: `a text`, `a list`."""
    match value:
        case bool():
            return "a truth value"
        case int():
            return "a whole number"
        case float():
            return "a number with a point"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


class _Walk:
    """One pass over a table; `found` collects the diagnostics."""

    def __init__(self, file: TomlFile, opaque: Opaque, top: KeyPath, blame: KeyPath | None) -> None:
        self.found: list[Diagnostic] = []
        self.opaque_seen = False
        self._file = file
        self._opaque = opaque
        self._top = top
        self._blame = blame

    @property
    def full(self) -> bool:
        """Whether no more is told of this table, so that looking on is of no use."""
        return len(self.found) >= FINDINGS_MAX

    def _add(self, diagnostic: Diagnostic) -> None:
        if not self.full:
            self.found.append(diagnostic)

    def struct(
        self,
        wanted: type[msgspec.Struct],
        table: Mapping[str, object],
        path: KeyPath,
        what: str,
        others: frozenset[str] = frozenset(),
    ) -> None:
        fields = _fields(wanted)
        unknown = [key for key in table if key not in fields and key not in others]
        free = sorted({*fields, *others} - table.keys()) if unknown else []
        for key in unknown:
            if self.full:
                return
            self._unknown_key(key, path, what, free)
        for key, value in table.items():
            field = fields.get(key)
            if field is not None:
                self.value(field.type, value, (*path, key), f"`{key}`")
        for name, field in fields.items():
            if field.required and name not in table:
                title, example = f"{what} lacks `{name}`", f"write `{name} = …`"
                self._add(error("H005", title, self._head(path), label="here", help=example))

    def _head(self, path: KeyPath) -> Span:
        """Where something that a table lacks is shown: at its key, or at the bracket that opens it."""
        if self._blame is not None and path == self._top:
            return self._file.value(self._blame)
        span = self._file.key(path)
        is_element = bool(path) and isinstance(path[-1], int)
        return msgspec.structs.replace(span, length=min(span.length, 2)) if is_element else span

    def value(self, wanted: Any, value: object, path: KeyPath, what: str) -> None:
        if self._opaque(value):
            self.opaque_seen = True
            return
        bare, whole = _strip(wanted, value)
        origin = get_origin(bare)
        if bare is Any:
            self._json(value, path, what)
        elif isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            if isinstance(value, dict):
                self.struct(bare, value, path, what)
            else:
                self.wrong_type(value, path, "object", what)
        elif origin is dict or bare is dict:
            self._dict(get_args(bare), value, path, what)
        elif origin in _CONTAINERS or bare in _CONTAINERS:
            self._items(whole, get_args(bare), value, path, what)
        else:
            self._leaf(whole, bare, value, path, what)

    def wrong_type(self, value: object, path: KeyPath, expected: str, what: str) -> None:
        word = _WORDS.get(expected, "a text, a number, `true` or `false`" if " | " in expected else expected)
        self._add(
            error(
                "H006",
                f"{what} must be {word}, not {type_word(value)}",
                self._file.value(path),
                label=f"this is {type_word(value)}",
                help=_type_help(value, expected, word),
            )
        )

    def _unknown_key(self, key: str, path: KeyPath, what: str, known: list[str]) -> None:
        hint = suggest(key, known)
        if not hint:
            listed = ", ".join(f"`{name}`" for name in known[:12])
            hint = f"it may have {listed}" if listed else "it has no further keys"
        self._add(
            error(
                "H004",
                f"unknown key {quoted(key)} in {what}",
                self._file.key((*path, key)),
                label="no such key",
                help=hint,
            )
        )

    def _dict(self, args: tuple[Any, ...], value: object, path: KeyPath, what: str) -> None:
        if not isinstance(value, dict):
            self.wrong_type(value, path, "object", what)
            return
        for key, each in value.items():
            self.value(args[1] if args else Any, each, (*path, key), quoted(key))

    def _items(self, whole: Any, args: tuple[Any, ...], value: object, path: KeyPath, what: str) -> None:
        if not isinstance(value, list):
            self.wrong_type(value, path, "array", what)
            return
        before = len(self.found), self.opaque_seen
        self.opaque_seen = False
        for index, each in enumerate(value):
            if self.full:
                return
            self.value(args[0] if args else Any, each, (*path, index), f"an element of {what}")
        if len(self.found) == before[0] and not self.opaque_seen:
            self._leaf(whole, whole, value, path, what)
        self.opaque_seen |= before[1]

    def _leaf(self, whole: Any, bare: Any, value: object, path: KeyPath, what: str) -> None:
        if isinstance(value, dt.date | dt.time):
            self.wrong_type(value, path, "str", what)
            return
        if isinstance(value, float) and not isfinite(value):
            self._not_finite(path, what)
            return
        try:
            msgspec.convert(value, whole, dec_hook=decode_hook)
        except (msgspec.ValidationError, OverflowError) as fault:
            self._judge(str(fault), bare, value, path, what)

    def _judge(self, reason: str, bare: Any, value: object, path: KeyPath, what: str) -> None:
        """One leaf that msgspec refused, as a diagnostic with a hint that fits."""
        span = self._file.value(path)
        choices = _choices(bare)
        is_duration = isinstance(bare, type) and issubclass(bare, Duration)
        if is_duration and not isinstance(value, str):
            self.wrong_type(value, path, 'a duration such as `"5m"`', what)
        elif is_duration and "longer than zero" in reason:
            self._add(error("H007", f"{what} {reason}", span, label="no time"))
        elif is_duration:
            title = f"{what}: {reason.split(';', 1)[0]}" if len(str(value)) < 100 else f"{what} is not a duration"
            hint = "a number and a unit: `500ms`, `30s`, `5m`, `2h`, `1d`, or several: `1h30m`"
            self._add(error("H008", title, span, label="not a duration", help=hint))
        elif choices and isinstance(value, str):
            listed = ", ".join(f"`{each}`" for each in choices)
            hint = suggest(value, choices) or f"write one of {listed}"
            self._add(error("H007", f"{what} can't be {quoted(value)}", span, label=f"one of {listed}", help=hint))
        elif ", got `" in reason:
            expected = reason.removeprefix("Expected `").split("`", 1)[0]
            self.wrong_type(value, path, "str" if choices else expected.replace(" | null", ""), what)
        else:
            limit = _limit_words(reason.split(" - at `$", 1)[0])
            self._add(error("H007", f"{what} {limit}", span, label="not allowed"))

    def _json(self, value: object, path: KeyPath, what: str) -> None:
        """A field that takes any JSON: the dates and times of TOML are none."""
        if isinstance(value, dict):
            for key, each in value.items():
                self.value(Any, each, (*path, key), quoted(key))
        elif isinstance(value, list):
            for index, each in enumerate(value):
                self.value(Any, each, (*path, index), f"an element of {what}")
        elif isinstance(value, dt.date | dt.time):
            self.wrong_type(value, path, "str", what)
        elif isinstance(value, float) and not isfinite(value):
            self._not_finite(path, what)

    def _not_finite(self, path: KeyPath, what: str) -> None:
        self._add(error("H007", f"{what} must be a finite number", self._file.value(path), label="not allowed"))


@cache
def _fields(wanted: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields by the names they have in files; resolving their types anew for each table would take long."""
    return {field.encode_name: field for field in msgspec.structs.fields(wanted)}


def _strip(wanted: Any, value: object) -> tuple[Any, Any]:
    """The type without `Annotated` and `None`, and the same with its constraints.

    Of a union such as `str | tuple[str, ...]` the member that fits the shape of the value.
    """
    bare = get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted
    if get_origin(bare) not in (Union, types.UnionType):
        return bare, wanted
    members = [each for each in get_args(bare) if each is not type(None)]
    shape = _CONTAINERS if isinstance(value, list) else (dict,) if isinstance(value, dict) else ()
    for member in members:
        inner, whole = _strip(member, value)
        root = get_origin(inner) or inner
        is_struct = isinstance(inner, type) and issubclass(inner, msgspec.Struct)
        if root in shape or (is_struct and isinstance(value, dict)) or (len(members) == 1):
            return inner, whole if bare is wanted else Annotated[member, *get_args(wanted)[1:]]
    leaves = [each for each in members if (get_origin(_strip(each, None)[0]) or each) not in (*_CONTAINERS, dict)]
    chosen = Union[tuple(leaves)] if leaves and not shape else bare  # noqa: UP007  # a union of a computed list
    return chosen, chosen


def _choices(bare: Any) -> list[str]:
    if get_origin(bare) is Literal:
        return [str(each) for each in get_args(bare)]
    if isinstance(bare, type) and issubclass(bare, Enum):
        return [str(each.value) for each in bare]
    return []


def _type_help(value: object, expected: str, word: str) -> str:
    if expected == "array" and isinstance(value, str | int | float):
        return f"put it in brackets: `[{_as_toml(value)}]`"
    if expected == "str" and not isinstance(value, list | dict):
        return f'put it in quotes: `"{_as_toml(value)}"`'
    if expected in ("int", "float", "bool") and isinstance(value, str):
        return "write it without quotes"
    return f"write {word}"


def _as_toml(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else "…"


def _limit_words(reason: str) -> str:
    """A constraint that msgspec names (``Expected `int` >= 1``), for people."""
    found = re.match(r"Expected `(\w+)`( of length)? (>=|<=|>|<) (\S+)", reason)
    if found:
        _, length, mark, bound = found.groups()
        words = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}[mark]
        if length and mark == ">=" and bound == "1":
            return "must not be empty"
        return f"must have a length of {words} {bound}" if length else f"must be {words} {bound}"
    if "matching regex" in reason:
        return f"must match `{reason.split(' regex ', 1)[1][1:-1]}`"
    return f"is not allowed: {reason}"

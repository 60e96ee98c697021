"""TOML text to values, and to the place of every key, value and character inside a string.

`engine.configfile` and `engine.rulefile` read their files here. tomli decides what is TOML; the scanner in
`engine.tomlspans` finds the places again in a text that tomli has taken. Whatever the bytes are, the answer is
a `TomlFile` or one diagnostic, never an exception, within the limits below.
"""

import os
import stat
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli

from engine.diagnostics import Diagnostic, Note, Span, error, quoted
from engine.tomlspans import Extent, Lost, Node, PastLimit, Twice, scan, string_extents

FILE_BYTES_MAX = 4 * 1_048_576
"""A larger file is refused unread: ten thousand rules fit in it."""
DEPTH_MAX = 64
"""Deepest nesting of tables and arrays; a rule needs seven levels."""
NUMBER_CHARS_MAX = 1_000
"""Longest number: Python refuses to convert integers of more than 4,300 digits."""

KeyPath = tuple[str | int, ...]
"""A place in the values: `("playbook", "halt", "contain", 0, "do")`."""


class TomlFile:
    """The values of one file (`table`), and where each of them stands (`shown` is the path as people know it)."""

    def __init__(self, shown: str, text: str, table: dict[str, Any]) -> None:
        self.shown = shown
        self.text = text
        self.table = table

    def key(self, path: KeyPath) -> Span:
        """The place of the last key of `path`; of the value where it has no key (an element, the file)."""
        node = self._node(path)
        return self._span(node.key or node.value)

    def value(self, path: KeyPath) -> Span:
        """The place of the value, cut at the end of its first line; of the header for a `[table]`."""
        return self._span(self._node(path).value)

    def inside(self, path: KeyPath, offset: int, length: int = 1) -> Span:
        """The place of `length` characters at `offset` of the string value at `path`.

        Escapes, literal and multi-line strings are counted as the parser reads them; offsets past the end mean the
        closing quote.
        """
        start, end = self._node(path).value
        extents = string_extents(self.text, start, end)
        if extents is None:
            return self.value(path)
        closing = extents[-1]
        first = extents[offset] if 0 <= offset < len(extents) else closing
        last_at = offset + max(1, length) - 1
        last = extents[last_at] if offset <= last_at < len(extents) - 1 else first
        return self._span((first[0], max(first[1], last[1])))

    @cached_property
    def _root(self) -> Node:
        try:
            return scan(self.text, depth_max=DEPTH_MAX + 1, number_chars_max=NUMBER_CHARS_MAX)
        except (PastLimit, Lost):  # tomli has taken this text: only the scanner can be at fault
            return Node((0, 0))

    @cached_property
    def _lines(self) -> "_Lines":
        return _Lines(self.text)

    def _node(self, path: KeyPath) -> Node:
        """The node of `path`, or of the nearest table around it that the text has."""
        node = self._root
        for part in path:
            child = node.child(part)
            if child is None:
                break
            node = child
        return node

    def _span(self, extent: Extent) -> Span:
        return self._lines.span(self.shown, extent)


class _Lines:
    """Offsets in a text to lines and columns."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._last, self._last_line = -1, ""
        self._starts = [0]
        at = text.find("\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = text.find("\n", at + 1)

    def span(self, shown: str, extent: Extent) -> Span:
        """The span of an extent, cut at the end of its first line."""
        start, end = extent
        line = bisect_right(self._starts, start)
        line_start = self._starts[line - 1]
        line_end = self._text.find("\n", line_start)
        line_end = len(self._text) if line_end < 0 else line_end
        if self._last != line_start:  # one copy of a line, however many findings stand in it
            self._last, self._last_line = line_start, self._text[line_start:line_end]
        return Span(
            path=shown,
            line=line,
            column=start - line_start + 1,
            length=max(1, min(end, line_end) - start),
            source_line=self._last_line,
        )


def read_toml(path: Path, shown: str | None = None) -> TomlFile | Diagnostic:
    """The file at `path` as values with places, or the one diagnostic that says why not. `shown` names it."""
    shown = str(path) if shown is None else shown
    content = read_bytes(path, shown)
    return content if isinstance(content, Diagnostic) else parse_toml(content, shown)


def read_bytes(path: Path, shown: str) -> bytes | Diagnostic:
    """The content of a regular file of at most `FILE_BYTES_MAX`, or a diagnostic. Never waits on a pipe or device."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        return error("H001", f"can't read `{shown}`: {reason}", help="check the path and the permissions")
    try:
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return error("H001", f"can't read `{shown}`: it is not a regular file", help="name a file or a folder")
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as fault:
        return error("H001", f"can't read `{shown}`: {fault.strerror}", help="check the path and the permissions")
    if len(content) > FILE_BYTES_MAX:
        return error(
            "H003", f"`{shown}` is larger than {FILE_BYTES_MAX // 1_048_576} MiB", help="split it into several files"
        )
    return content


def parse_toml(content: bytes, shown: str) -> TomlFile | Diagnostic:
    """Bytes of a TOML file to values with places, or one diagnostic: not UTF-8, not TOML, past a limit."""
    if len(content) > FILE_BYTES_MAX:
        return error(
            "H003", f"`{shown}` is larger than {FILE_BYTES_MAX // 1_048_576} MiB", help="split it into several files"
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as fault:
        read = content[: fault.start].decode("utf-8").replace("\r\n", "\n")
        rest = content[fault.start :].split(b"\n", 1)[0].decode("utf-8", "replace")
        span = _Lines(read + rest).span(shown, (len(read), len(read) + 1))
        return error(
            "H002", "this is not UTF-8 text", span, label="this byte can't be decoded", help="save the file as UTF-8"
        )
    # Line ends as tomli sees them; a byte order mark, which some editors write, says nothing.
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        table = tomli.loads(text)
    except tomli.TOMLDecodeError as fault:
        return _syntax(fault, text, shown)
    except (RecursionError, ValueError):
        return _past_limit(text, shown)
    return _past_limit(text, shown) if _deeper_than(table, DEPTH_MAX) else TomlFile(shown, text, table)


def _syntax(fault: tomli.TOMLDecodeError, text: str, shown: str) -> Diagnostic:
    """What tomli says of a text, in words for people; what stands twice is shown at both places."""
    lines, at = _Lines(text), min(fault.pos, len(text))
    try:
        scan(text, depth_max=DEPTH_MAX, number_chars_max=NUMBER_CHARS_MAX, refuse_twice=True)
    except Twice as twice:
        name = quoted(text[slice(*twice.again)])
        note = Note(span=lines.span(shown, twice.first), label="first given here")
        again, label = lines.span(shown, twice.again), "given again here"
        return error("H009", f"{name} is given twice", again, label=label, help="give each key once", notes=(note,))
    except (PastLimit, Lost):
        pass
    reason = fault.msg[:1].lower() + fault.msg[1:]
    if reason == "illegal character '\\n'":
        reason = "a text in quotes does not end on its line"
    span = lines.span(shown, (at, at + 1))
    return error("H002", f"this is not TOML: {reason}", span, label="here", help="see https://toml.io/en/v1.1.0")


def _past_limit(text: str, shown: str) -> Diagnostic:
    """The diagnostic for a text that tomli gave up on, or that nests too deep, at the place where that is."""
    try:
        scan(text, depth_max=DEPTH_MAX, number_chars_max=NUMBER_CHARS_MAX)
    except PastLimit as limit:
        span = _Lines(text).span(shown, (limit.at, limit.at + 1))
        return error("H003", limit.reason, span, label="the limit is reached here", help="is the file damaged?")
    except Lost:
        pass
    return error(
        "H003", f"`{shown}` nests deeper, or has longer numbers, than can be read", help="is the file damaged?"
    )


def _deeper_than(table: dict[str, Any], depth_max: int) -> bool:
    level: Sequence[object] = [table]
    for _ in range(depth_max + 1):
        level = [
            each
            for value in level
            for each in (value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
            if isinstance(each, dict | list)
        ]
        if not level:
            return False
    return True

"""TOML text that a parser has already taken, to the extents of its keys and values; `engine.tomlfile` calls this.

tomli says what a file means but not where its keys stand. Since the text is known to be valid, a small scanner of
keys, brackets and strings is enough. On a text that is not valid it raises `Lost`; it never loops or recurses deeply.
"""

import re
from typing import Literal

Extent = tuple[int, int]
"""Start and end (exclusive) as offsets in the text."""

_BLANK = re.compile(r"(?:[ \t\n]+|#[^\n]*)*+")
_SPACE = re.compile(r"[ \t]*+")
_STRING = re.compile(
    r'"""[^"\\]*+(?:(?:\\[\s\S]|"(?!""))[^"\\]*+)*+""""{0,2}'
    r"|'''[^']*+(?:'(?!'')[^']*+)*+''''{0,2}"
    r'|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
    r"|'[^'\n]*+'"
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]++")
_SCALAR = re.compile(r"[^,\]}#\n\[{\"']++")
_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[^\n \t])")
_LINE_END_ESCAPE = re.compile(r"\\[ \t]*+\n[ \t\n]*+")
_SHORT = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}


class Lost(Exception):  # noqa: N818  # not an error of the user's: the text was not valid TOML
    """The scanner met something that valid TOML has not; `args[0]` is the offset."""


class PastLimit(Exception):  # noqa: N818  # becomes a diagnostic
    """A limit is reached at offset `at`."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at = at
        self.reason = reason


class Twice(Exception):  # noqa: N818  # becomes a diagnostic
    """A key or table is given at `again` though it was at `first`."""

    def __init__(self, first: Extent, again: Extent) -> None:
        super().__init__("given twice")
        self.first = first
        self.again = again


class Node:
    """Where one value stands (a table's value is its header or first key), where its key does, and what is inside."""

    __slots__ = ("given", "items", "key", "members", "value")

    def __init__(self, value: Extent, key: Extent | None = None) -> None:
        self.value = value
        self.key = key
        self.members: dict[str, Node] = {}
        self.items: list[Node] = []
        self.given: Literal["", "value", "header"] = ""

    def child(self, part: str | int) -> "Node | None":
        """The node of a key or index, or None."""
        if isinstance(part, str):
            return self.members.get(part)
        return self.items[part] if 0 <= part < len(self.items) else None

    def member(self, name: str, key: Extent) -> "Node":
        """The node of `name`, made on its first mention."""
        node = self.members.get(name)
        if node is None:
            node = self.members[name] = Node(key, key)
        return node


def scan(text: str, *, depth_max: int, number_chars_max: int, refuse_twice: bool = False) -> Node:
    """The tree of all places in a valid TOML text. Raises PastLimit, or Lost where the text is not TOML after all.

    `refuse_twice` raises Twice at the first key or table that is given a second time: for a text that tomli refused.
    """
    return _Scanner(text, depth_max, number_chars_max, refuse_twice=refuse_twice).document()


def string_extents(text: str, start: int, end: int) -> list[Extent] | None:
    """For the string literal at `start:end`: the extent of each of its characters, then that of the closing quotes.

    None where no string stands there.
    """
    literal = text[start:end]
    quotes = next((each for each in ('"""', "'''", '"', "'") if literal.startswith(each)), None)
    if quotes is None or len(literal) < 2 * len(quotes):
        return None
    at, stop = start + len(quotes), end - len(quotes)
    if len(quotes) == 3 and text.startswith("\n", at):
        at += 1
    extents: list[Extent] = []
    while at < stop:
        after = at + 1
        if quotes[0] == '"' and text[at] == "\\":
            folded = _LINE_END_ESCAPE.match(text, at)
            if folded:
                at = folded.end()
                continue
            escape = _ESCAPE.match(text, at)
            after = escape.end() if escape else after
        extents.append((at, after))
        at = after
    extents.append((stop, end))
    return extents


class _Scanner:
    def __init__(self, text: str, depth_max: int, number_chars_max: int, *, refuse_twice: bool) -> None:
        self._text = text
        self._at = 0
        self._depth_max = depth_max
        self._number_chars_max = number_chars_max
        self._refuse_twice = refuse_twice

    def document(self) -> Node:
        root = table = Node((0, min(1, len(self._text))))
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header(root)
            else:
                self._assignment(table, depth=1)
            self._skip(_BLANK)
        return root

    def _header(self, root: Node) -> Node:
        """`[a.b]` or `[[a.b]]`: the node of the table that the next lines fill."""
        start = self._at
        brackets = 2 if self._text.startswith("[[", start) else 1
        self._at += brackets
        parts = self._key(depth=1)
        self._expect("]" * brackets)
        header = (start, self._at)
        node = root
        for name, extent in parts[:-1]:
            node = node.member(name, extent)
            self._once(node, extent, refused=("value",))
            node = node.items[-1] if node.items else node
        name, extent = parts[-1]
        node = node.member(name, extent)
        self._once(node, extent, refused=("value", "header") if brackets == 1 or not node.items else ("value",))
        node.given = "header"
        if brackets == 2:
            node.items.append(Node(header, extent))
            return node.items[-1]
        node.key, node.value = extent, header
        return node

    def _assignment(self, table: Node, depth: int) -> None:
        """`a.b = value` into `table`."""
        parts = self._key(depth)
        node = table
        for name, extent in parts:
            node = node.member(name, extent)
            self._once(node, extent, refused=("value",))
        self._once(node, parts[-1][1], refused=("value", "header"))
        node.given = "value"
        self._skip(_SPACE)
        self._expect("=")
        self._skip(_SPACE)
        self._value(node, depth + len(parts))

    def _once(self, node: Node, extent: Extent, refused: tuple[str, ...]) -> None:
        if self._refuse_twice and node.given in refused and node.key is not None:
            raise Twice(node.key, extent)

    def _key(self, depth: int) -> list[tuple[str, Extent]]:
        """A dotted key: the name and extent of each part."""
        parts: list[tuple[str, Extent]] = []
        while True:
            self._skip(_SPACE)
            start = self._at
            if depth + len(parts) > self._depth_max:
                raise PastLimit(start, f"tables and arrays nest deeper than {self._depth_max} levels")
            found = _STRING.match(self._text, start) or _BARE_KEY.match(self._text, start)
            if found is None:
                raise Lost(start)
            self._at = found.end()
            parts.append((_unquote(found[0]), (start, self._at)))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _value(self, node: Node, depth: int) -> None:
        start = self._at
        opening = self._text[start : start + 1]
        if opening in ("[", "{") and depth > self._depth_max:
            raise PastLimit(start, f"tables and arrays nest deeper than {self._depth_max} levels")
        if opening == "[":
            self._array(node, depth)
        elif opening == "{":
            self._inline_table(node, depth)
        elif opening in ('"', "'"):
            found = _STRING.match(self._text, start)
            if found is None:
                raise Lost(start)
            self._at = found.end()
        else:
            found = _SCALAR.match(self._text, start)
            if found is None:
                raise Lost(start)
            self._at = start + len(found[0].rstrip(" \t"))
            if self._at - start > self._number_chars_max:
                raise PastLimit(start, f"a number has more than {self._number_chars_max} characters")
        node.value = (start, self._at)

    def _array(self, node: Node, depth: int) -> None:
        self._at += 1
        self._skip(_BLANK)
        while not self._text.startswith("]", self._at):
            item = Node((self._at, self._at))
            self._value(item, depth + 1)
            node.items.append(item)
            self._separator("]")
        self._at += 1

    def _inline_table(self, node: Node, depth: int) -> None:
        self._at += 1
        self._skip(_BLANK)
        while not self._text.startswith("}", self._at):
            self._assignment(node, depth)
            self._separator("}")
        self._at += 1

    def _separator(self, closing: str) -> None:
        """Past the comma that must stand here unless the closing bracket does."""
        self._skip(_BLANK)
        if not self._text.startswith(closing, self._at):
            self._expect(",")
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _expect(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            raise Lost(self._at)
        self._at += len(mark)


def _unquote(key: str) -> str:
    """The name that a bare or quoted key means; keys are never multi-line."""
    if key[:1] == "'":
        return key[1:-1]
    if key[:1] != '"':
        return key
    return _ESCAPE.sub(_unescape, key[1:-1])


def _unescape(found: re.Match[str]) -> str:
    escape = found[0][1:]
    if escape[0] in "xuU" and len(escape) > 1:
        return chr(int(escape[1:], 16))
    return _SHORT.get(escape, escape)

"""Hypothesis strategies for TOML documents: the text in many spellings, and the value it means.

Each way of writing that the language has is drawn somewhere: bare, quoted and dotted keys, all four kinds of
strings with their escapes, inline tables over several lines, arrays of tables, comments.
"""

import json

from hypothesis import strategies as st

_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\t\n\"'\\#=[]{},.é😀 "), max_size=12)
_KEYS = st.sampled_from(["a", "b", "c-d", "on", "é", "", "a.b", 'q"', "x y", "\t"]) | _TEXT.filter(
    lambda text: "\n" not in text
)
_SPACE = st.sampled_from(["", " ", "\t", "  "])
_BREAK = st.sampled_from(["", " ", "\n", " # note ]}\"'''\n  ", "\n\n"])


def _escaped(char, draw):
    if char == "\\":
        return "\\\\"
    if char == '"':
        return '\\"'
    if char == "\n":
        return "\\n"
    if char == "\t":
        return draw(st.sampled_from(["\t", "\\t"]))
    code = ord(char)
    spellings = [char, f"\\U{code:08x}"]
    if code <= 0xFFFF:
        spellings.append(f"\\u{code:04X}")
    if code <= 0xFF:
        spellings.append(f"\\x{code:02x}")
    return draw(st.sampled_from(spellings))


@st.composite
def spelled_string(draw, value, *, multiline=True):
    """A TOML spelling of the text `value`."""
    kinds = ["basic"]
    plain = all(char == "\t" or char.isprintable() or char > "\x9f" for char in value if char != "\n")
    if plain and "'" not in value and "\n" not in value:
        kinds.append("literal")
    if multiline:
        kinds.append("multi")
        if plain and "'" not in value:
            kinds.append("multi-literal")
    match draw(st.sampled_from(kinds)):
        case "literal":
            return f"'{value}'"
        case "multi-literal":
            return f"'''\n{value}'''"
        case "multi":
            return '"""' + draw(_multi_line_body(value)) + '"""'
        case _:
            return '"' + "".join(_escaped(char, draw) for char in value) + '"'


@st.composite
def _multi_line_body(draw, value):
    """What stands between three quotes: raw line ends, up to two raw quotes in a row, folded line ends."""
    parts = ["\n"] if value.startswith("\n") or draw(st.booleans()) else []
    raw_quotes = 0
    for char in value:
        if char not in " \t\n" and draw(st.integers(0, 9)) == 0:
            parts.append("\\\n  \n ")
            raw_quotes = 0
        if char == '"' and raw_quotes < 2:
            parts.append(char)
            raw_quotes += 1
        else:
            parts.append(char if char == "\n" else _escaped(char, draw))
            raw_quotes = 0
    return "".join(parts)


@st.composite
def spelled_key(draw, key):
    """A TOML spelling of one key."""
    if key and all(char.isascii() and (char.isalnum() or char in "-_") for char in key) and draw(st.booleans()):
        return key
    return draw(spelled_string(key, multiline=False))


scalars = st.one_of(
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=12
)
tables = st.dictionaries(_KEYS, values, max_size=5)


@st.composite
def spelled_value(draw, value):
    """A TOML spelling of a value, inline."""
    match value:
        case str():
            return draw(spelled_string(value))
        case list():
            items = [draw(_BREAK) + draw(spelled_value(each)) + draw(_BREAK) for each in value]
            tail = draw(st.sampled_from(["", ","])) if items else ""
            return "[" + ",".join(items) + tail + draw(_BREAK) + "]"
        case dict():
            items = [draw(_BREAK) + draw(_spelled_assignment(key, each)) + draw(_BREAK) for key, each in value.items()]
            tail = draw(st.sampled_from(["", ","])) if items else ""
            return "{" + ",".join(items) + tail + draw(_BREAK) + "}"
        case _:
            return json.dumps(value)


@st.composite
def _spelled_assignment(draw, key, value):
    """`key = value`, with a dotted key where the value is a table of one."""
    text = draw(spelled_key(key))
    while isinstance(value, dict) and len(value) == 1 and draw(st.booleans()):
        [(key, value)] = value.items()
        text += draw(_SPACE) + "." + draw(_SPACE) + draw(spelled_key(key))
    return text + draw(_SPACE) + "=" + draw(_SPACE) + draw(spelled_value(value))


@st.composite
def documents(draw):
    """A TOML text and the value it means."""
    table = draw(tables)
    lines, later = [], []
    for key, value in table.items():
        is_tables = isinstance(value, list) and value and all(isinstance(each, dict) for each in value)
        if isinstance(value, dict) and draw(st.booleans()):
            later.append(("[{}]", key, [value]))
        elif is_tables and draw(st.booleans()):
            later.append(("[[{}]]", key, value))
        else:
            lines.append(draw(_spelled_assignment(key, value)))
    for form, key, bodies in later:
        for body in bodies:
            lines.append(draw(_SPACE) + form.format(draw(_SPACE) + draw(spelled_key(key)) + draw(_SPACE)))
            lines += [draw(_spelled_assignment(name, each)) for name, each in body.items()]
    end = draw(st.sampled_from(["\n", "\r\n", " # end\n", "\n\n"]))
    return "".join(line + end for line in lines), table

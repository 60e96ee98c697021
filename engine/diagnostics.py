"""Mistakes in rule files and config as data: a code, a place, a label, a hint; rendered for people or as JSON.

Loaders collect all findings of all files and return them; nothing here raises. The look is that of rustc and ruff.
Codes are listed in `CODES` and explained one by one in docs/diagnostics.md.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import StrEnum
from itertools import islice

from engine.model import Json, Struct

CODES: dict[str, str] = {
    # Files
    "H001": "a file or folder can't be read",
    "H002": "the file is not TOML",
    "H003": "a limit is reached",
    # The shape of tables
    "H004": "unknown key",
    "H005": "missing key",
    "H006": "wrong type",
    "H007": "value not allowed",
    "H008": "not a duration",
    "H009": "an id is used twice",
    "H010": "an id is not well formed",
    # Names
    "H011": "unknown signal",
    "H012": "unknown action",
    "H013": "unknown playbook",
    "H014": "unknown incident type",
    "H015": "unknown detection method",
    "H016": "unknown list",
    "H017": "unknown value",
    # Conditions and templates
    "H020": "CEL: syntax",
    "H021": "CEL: unknown name",
    "H022": "CEL: wrong type",
    "H023": "CEL: not a regular expression",
    "H024": "CEL: past a limit",
    "H025": "a template is not well formed",
    "H026": "CEL: a literal has no value",
    # Signals
    "H030": "an event type is not well formed",
    "H031": "the detection method needs `value`",
    "H032": "the detection method needs `of`",
    "H033": "`value` or `of` is given but not used",
    "H034": "`for` and the method do not fit each other",
    "H035": "the file of a detection method can't be used",
    "H036": "`watched` changes nothing",
    # Rules
    "H040": "a signal lacks a key of `by`",
    "H041": "`when` needs exactly one of `all`, `any` and `sequence`",
    "H042": "a list of signals is empty",
    "H043": "`at_least` can never be reached",
    "H044": "a key of `when` has nothing to act on",
    # Playbooks
    "H050": "`hold` on an irreversible action",
    "H051": "a playbook has no steps",
    # Warnings across rules
    "H101": "a signal is never used",
    "H102": "a playbook is never used",
    "H103": "a list is never used",
    "H104": "a condition can never be true",
    "H105": "a rule can never fire",
    "H106": "a rule is shadowed by another",
    "H107": "a join without a limit of time",
    "H108": "an irreversible step on the word of one signal",
    "H109": "a playbook feeds its own rule",
    "H110": "two playbooks contradict each other",
    "H111": "a value is never used",
    # Config
    "H060": "a name is used twice",
    "H061": "`map` and `format` do not fit each other",
    "H062": "a topic filter is not well formed",
    "H063": "a broker's key needs MQTT 5",
    # The config against the machine (`halon check --live`)
    "H070": "a file or secret can't be used",
    "H071": "others may change or read a file",
    "H072": "something can't be reached",
    "H073": "the state directory does not do",
}
"""Every code with its meaning in a few words."""

_SHOWN_CHARS_MAX = 160
_NAME_CHARS_MAX = 80
_SENTENCE_CHARS_MAX = 500
_COMPARED_NAMES_MAX = 500


class Level(StrEnum):
    """Errors keep a rule set from loading, warnings do not."""

    ERROR = "error"
    WARNING = "warning"


class Span(Struct, frozen=True):
    """A place in a text file: 1-based line and column (in characters), and how many characters are meant."""

    path: str
    line: int
    column: int
    length: int = 1
    source_line: str = ""
    """The text of that line, so that a report needs no file access."""


class Note(Struct, frozen=True):
    """A second place that a finding speaks of, such as the first of two definitions."""

    span: Span
    label: str


class Diagnostic(Struct, frozen=True):
    """One finding. `title` is a sentence; `label` stands beside the carets; `help` says what to do."""

    code: str
    level: Level
    title: str
    span: Span | None = None
    label: str = ""
    help: str = ""
    notes: tuple[Note, ...] = ()


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """Diagnostics as text, each ending in a newline, a blank line between two."""
    return "\n".join(_render_one(each) for each in diagnostics)


def to_json(diagnostic: Diagnostic) -> dict[str, Json]:
    """A diagnostic for programs: `code level title label help`, and `path line column length` where it has a place."""
    plain: dict[str, Json] = {
        "code": diagnostic.code,
        "level": diagnostic.level.value,
        "title": diagnostic.title,
        "label": diagnostic.label,
        "help": diagnostic.help,
    }
    if diagnostic.span is not None:
        plain |= _place(diagnostic.span)
    plain["notes"] = [{"label": note.label, **_place(note.span)} for note in diagnostic.notes]
    return plain


def suggest(name: str, known: Iterable[str]) -> str:
    """``did you mean `slurm.suspend`?``, or an empty string where nothing known is close."""
    names = list(known)
    if len(names) > _COMPARED_NAMES_MAX:
        # Comparing costs about 10 us a name: of very many, take those that begin or end alike.
        alike = (each for each in names if each[:2] == name[:2] or each[-2:] == name[-2:])
        names = list(islice((each for each in alike if abs(len(each) - len(name)) <= 2), _COMPARED_NAMES_MAX))
    close = get_close_matches(name[:_NAME_CHARS_MAX], names, n=1, cutoff=0.6)
    return f"did you mean {quoted(close[0])}?" if close else ""


def quoted(name: object) -> str:
    """`name` in backquotes, cut where it is longer than a title bears."""
    text = str(name)
    return f"`{text}`" if len(text) <= _NAME_CHARS_MAX else f"`{text[:_NAME_CHARS_MAX]}…`"


def sort(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Diagnostics in the order of their places; those without one first."""
    return sorted(
        diagnostics,
        key=lambda each: (
            (each.span.path, each.span.line, each.span.column, each.code) if each.span else ("", 0, 0, each.code)
        ),
    )


def has_errors(diagnostics: Sequence[Diagnostic]) -> bool:
    """Whether any of them keeps the files from loading."""
    return any(each.level is Level.ERROR for each in diagnostics)


def error(
    code: str,
    title: str,
    span: Span | None = None,
    *,
    label: str = "",
    help: str = "",  # noqa: A002  # the word of the field
    notes: tuple[Note, ...] = (),
) -> Diagnostic:
    """An error of that code."""
    return Diagnostic(code=code, level=Level.ERROR, title=title, span=span, label=label, help=help, notes=notes)


def _place(span: Span) -> dict[str, Json]:
    return {"path": span.path, "line": span.line, "column": span.column, "length": span.length}


def _render_one(diagnostic: Diagnostic) -> str:
    lines = [f"{diagnostic.level.value}[{diagnostic.code}]: {_clipped(diagnostic.title)}"]
    places = [("-->", diagnostic.span, "^", diagnostic.label)] if diagnostic.span else []
    places += [(":::", note.span, "-", note.label) for note in diagnostic.notes]
    gutter = max((len(str(span.line)) for _, span, _, _ in places), default=1)
    for arrow, span, mark, label in places:
        lines += _render_place(arrow, span, mark, label, gutter)
    if diagnostic.help:
        lines.append(f"{' ' * gutter} = help: {_clipped(diagnostic.help)}")
    return "\n".join(lines) + "\n"


def _render_place(arrow: str, span: Span, mark: str, label: str, gutter: int) -> list[str]:
    source, start = span.source_line, span.column - 1
    # A very long line would hide the carets: show the part around them.
    cut = max(0, start - _SHOWN_CHARS_MAX // 2) if len(source) > _SHOWN_CHARS_MAX else 0
    shown = _printable(source[cut : cut + _SHOWN_CHARS_MAX])
    before = ("…" if cut else "") + shown[: start - cut]
    marked = shown[start - cut : start - cut + span.length]
    after = shown[start - cut + span.length :] + ("…" if len(source) > cut + _SHOWN_CHARS_MAX else "")
    marks = f"{' ' * _columns(before)}{mark * max(1, _columns(marked))}"
    return [
        f"{' ' * gutter}{arrow} {_printable(span.path)}:{span.line}:{span.column}",
        f"{span.line:>{gutter}} | {before}{marked}{after}".rstrip(),
        f"{' ' * gutter} | {marks} {_clipped(label)}".rstrip(),
    ]


def _printable(text: str) -> str:
    """`text` with a space for a tab and `�` for what would steer a terminal (controls, direction overrides)."""
    if text.isprintable():
        return text
    return "".join(" " if each == "\t" else each if each.isprintable() or each == " " else "�" for each in text)


def _clipped(text: str) -> str:
    """A printable text, cut where a name of the user's makes it longer than anyone reads."""
    return _printable(text if len(text) <= _SENTENCE_CHARS_MAX else f"{text[:_SENTENCE_CHARS_MAX]}…")


def _columns(text: str) -> int:
    """How many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )

"""Mistakes in rule files and config as data: a code, a place, a label, a hint; rendered for people or as JSON.

Loaders collect all findings of all files and return them; nothing here raises. The look is that of rustc and ruff.
Codes are listed in `CODES` and explained one by one in docs/diagnostics.md.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import StrEnum

from engine.model import Struct


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


class Diagnostic(Struct, frozen=True):
    """One finding. `title` is a sentence; `label` stands beside the carets; `help` says what to do."""

    code: str
    level: Level
    title: str
    span: Span | None = None
    label: str = ""
    help: str = ""


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """Diagnostics as text, each ending in a newline, a blank line between two."""
    return "\n".join(_render_one(each) for each in diagnostics)


def _render_one(diagnostic: Diagnostic) -> str:
    lines = [f"{diagnostic.level.value}[{diagnostic.code}]: {diagnostic.title}"]
    span = diagnostic.span
    if span is not None:
        gutter = len(str(span.line))
        source = span.source_line.replace("\t", " ")
        # A very long line would hide the carets: show the part around them.
        cut = max(0, span.column - 81) if len(source) > 160 else 0
        shown = ("…" if cut else "") + source[cut : cut + 160]
        caret_at = span.column - 1 - cut + (1 if cut else 0)
        carets = "^" * max(1, min(span.length, len(shown) - caret_at))
        lines += [
            f"{' ' * gutter}--> {span.path}:{span.line}:{span.column}",
            f"{span.line} | {shown.rstrip()}",
            f"{' ' * gutter} | {' ' * caret_at}{carets} {diagnostic.label}".rstrip(),
        ]
    else:
        gutter = 1
    if diagnostic.help:
        lines.append(f"{' ' * gutter} = help: {diagnostic.help}")
    return "\n".join(lines) + "\n"


def suggest(name: str, known: Iterable[str]) -> str:
    """``did you mean `slurm.suspend`?``, or an empty string where nothing known is close."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


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

"""Turns structs into what people read on a terminal, or JSON for programs; every command prints through here.

Text that came with events is data: markup in it means nothing, and what would steer a terminal is shown as `�`.
"""

import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_PIPED = 4_000
"""Columns where the output is no terminal: a table is then never folded or cut."""

FOLDED_COLUMNS_MIN = 24
"""A column of text that may be folded gets at least so much."""

_MARKS = "?~>"

_LAID_OUT = re.compile(r"^(?:\s|[*-] |```)", re.MULTILINE)

STYLES = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "open": "bold red",
    "contained": "green",
    "investigating": "yellow",
    "recovering": "yellow",
    "closed": "dim",
    "verified": "green",
    "undone": "dim",
    "observed": "cyan",
    "held": "yellow",
    "failed": "bold red",
    "unverified": "bold red",
    "refused": "yellow",
    "skipped": "dim",
    "in-force": "green",
    "releasing": "yellow",
    "released": "dim",
    "conflict": "bold red",
    "enforce": "green",
    "observe": "cyan",
}
"""How a word looks on a terminal."""


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or standard error."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        width=None if stream.isatty() else WIDTH_PIPED,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=not stream.isatty(),
    )


def emit(value: object) -> None:
    """One JSON document and a newline."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def emit_pretty(value: object) -> None:
    """One indented JSON document and a newline."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def say(text: str | Text = "", style: str = "") -> None:
    """A line on standard output."""
    console().print(text if isinstance(text, Text) else styled(text, style))


def say_hanging(text: str, style: str = "", *, indent: int) -> None:
    """A line on standard output; where the terminal is too narrow for it, what follows is indented."""
    shown = console()
    if not shown.is_terminal or len(text) <= shown.width:
        say(text, style)
        return
    width = max(shown.width, indent + FOLDED_COLUMNS_MIN)
    for part in clean(text).split("\n"):
        for line in textwrap.wrap(part, width, subsequent_indent=" " * indent, break_on_hyphens=False) or [""]:
            shown.print(Text(line, style=style), soft_wrap=True)


def say_whole(text: str) -> None:
    """A line on standard output that is there to be copied: no line end of ours is put into it."""
    console().print(styled(text), soft_wrap=True)


def note(text: str, style: str = "") -> None:
    """A line on standard error: what is not the answer itself."""
    console(stderr=True).print(styled(text, style))


def styled(text: str, style: str = "") -> Text:
    """Harmless text in a style."""
    return Text(clean(text), style=style)


def word(text: str) -> Text:
    """A word of the model in the style it has everywhere."""
    return styled(text, STYLES.get(text, ""))


def flowing(text: str) -> str:
    """Each paragraph on one line, so that the terminal folds it where it ends; lists and what is indented stay."""
    parts = text.split("\n\n")
    return "\n\n".join(part if _LAID_OUT.search(part) else " ".join(part.splitlines()) for part in parts)


def clean(text: str) -> str:
    """`text` with a space for each tab and `�` for every other character that steers a terminal, newlines apart."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else " " if each == "\t" else "�" for each in text)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A table. A column's name may begin with marks: `>` for numbers (right-aligned), `~` for text that may be folded,
    `?` for what is left out, from the right, where the terminal is too narrow.
    """
    cells = [[each if isinstance(each, Text) else styled(_cell(each)) for each in row] for row in rows]
    kept = _fitting(columns, cells, console().width)
    made = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        padding=(0, 2, 0, 0),
        title=clean(title) or None,
        title_justify="left",
        title_style="bold",
    )
    for at in kept:
        made.add_column(
            columns[at].lstrip(_MARKS),
            justify="right" if ">" in _marks(columns[at]) else "left",
            overflow="fold",
            no_wrap="~" not in _marks(columns[at]),
        )
    for row in cells:
        made.add_row(*[row[at] for at in kept])
    _print(made)


def fields(pairs: Iterable[tuple[str, object]], *, indent: int = 0) -> None:
    """Names and values below each other."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(" " * indent + name, value if isinstance(value, Text) else styled(_cell(value)))
    _print(made)


def _fitting(columns: Sequence[str], cells: list[list[Text]], width: int) -> list[int]:
    """Which columns are shown: all, or without the last optional ones where they are wider than the terminal."""

    def wide(at: int) -> int:
        if "~" in _marks(columns[at]):
            return FOLDED_COLUMNS_MIN
        return max([len(columns[at].lstrip(_MARKS)), *(row[at].cell_len for row in cells)]) + 2

    kept = list(range(len(columns)))
    for at in reversed(range(len(columns))):
        if sum(wide(each) for each in kept) <= width:
            break
        if "?" in _marks(columns[at]):
            kept.remove(at)
    return kept


def _marks(name: str) -> str:
    return name[: len(name) - len(name.lstrip(_MARKS))]


def _print(made: Table) -> None:
    shown = console()
    if shown.is_terminal:
        shown.print(made)
        return
    with shown.capture() as captured:
        shown.print(made)
    # Cells are padded to their column's width: no use to whom reads lines.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def key_text(key: dict[str, str]) -> str:
    """`run=run-7`, or `(all)`."""
    return " ".join(f"{name}={value}" for name, value in key.items()) or "(all)"


def time_text(time: datetime | None) -> str:
    """`2026-01-01 00:00:00Z`, or `-`."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ") if time else "-"


def duration_text(milliseconds: float) -> str:
    """`3.2 ms`, `1.25 s`, `4.0 min`, `3.5 d`: as exact as it is telling."""
    if abs(milliseconds) < 1_000:
        return f"{milliseconds:.1f} ms"
    if abs(milliseconds) < 120_000:
        return f"{milliseconds / 1_000:.2f} s"
    if abs(milliseconds) < 2 * 86_400_000:
        return f"{milliseconds / 60_000:.1f} min"
    return f"{milliseconds / 86_400_000:.1f} d"


def plural(count: int, thing: str) -> str:
    """`1 rule`, `2 rules`, `2 playbooks`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def json_text(value: object) -> str:
    """Compact JSON for a cell."""
    return msgspec.json.encode(value).decode()


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return time_text(value)
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)

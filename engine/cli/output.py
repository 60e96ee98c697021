"""Turns structs into what people read on a terminal, or JSON for programs; every command prints through here.

Text that came with events is data: markup in it means nothing, and what would steer a terminal is shown as `�`.
"""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_PIPED = 4_000
"""Columns where the output is no terminal: a table is then never folded or cut."""

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


def note(text: str, style: str = "") -> None:
    """A line on standard error: what is not the answer itself."""
    console(stderr=True).print(styled(text, style))


def styled(text: str, style: str = "") -> Text:
    """Harmless text in a style."""
    return Text(clean(text), style=style)


def word(text: str) -> Text:
    """A word of the model in the style it has everywhere."""
    return styled(text, STYLES.get(text, ""))


def clean(text: str) -> str:
    """`text` with a space for each tab and `�` for every other character that steers a terminal, newlines apart."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else " " if each == "\t" else "�" for each in text)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A table; columns whose name begins with `>` are numbers, right-aligned. Tabs and colours need no telling."""
    made = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=clean(title) or None,
        title_justify="left",
        title_style="bold",
    )
    for name in columns:
        made.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        made.add_row(*[each if isinstance(each, Text) else styled(_cell(each)) for each in row])
    console().print(made)


def fields(pairs: Iterable[tuple[str, object]], *, indent: int = 0) -> None:
    """Names and values below each other."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(" " * indent + name, value if isinstance(value, Text) else styled(_cell(value)))
    console().print(made)


def key_text(key: dict[str, str]) -> str:
    """`run=run-7`, or `(all)`."""
    return " ".join(f"{name}={value}" for name, value in key.items()) or "(all)"


def time_text(time: datetime | None) -> str:
    """`2026-01-01 00:00:00Z`, or `-`."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ") if time else "-"


def duration_text(milliseconds: float) -> str:
    """`3.2 ms`, `1.25 s`, `4.0 min`: as exact as it is telling."""
    if abs(milliseconds) < 1_000:
        return f"{milliseconds:.1f} ms"
    if abs(milliseconds) < 120_000:
        return f"{milliseconds / 1_000:.2f} s"
    return f"{milliseconds / 60_000:.1f} min"


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

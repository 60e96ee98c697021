"""How the life of an incident looks on a terminal: its deadlines, its scope as a tree, its relations, its story."""

import textwrap
from collections.abc import Iterable, Sequence

from rich.text import Text

from engine.cli.output import STYLES, console, duration_text, key_text, say, styled, time_text, word
from engine.clock import Clock, SystemClock, to_datetime
from engine.operate.shown import DeadlineView, IncidentDetail, IncidentRow, Related, StoryLine, Touched

WIDTH_MIN = 60
_STYLES = {
    **STYLES,
    "opened": "bold red",
    "reopened": "bold red",
    "deadline-missed": "bold red",
    "notice-failed": "bold red",
    "signal": "yellow",
    "approved": "green",
}


def print_life(detail: IncidentDetail) -> None:
    """All of it, under the head and the steps."""
    print_deadlines(detail.deadlines)
    _print_scope(detail.scope)
    _print_related(detail.related)
    _print_story(detail.story)
    if detail.pinned is not None and detail.pinned.events:
        more = f" ({detail.pinned.left_out} more were too many)" if detail.pinned.left_out else ""
        say()
        say(f"{detail.pinned.events} recorded events are kept with it{more}:", "dim")
        say(f"  halon events --around {detail.incident.id}", "dim")


def state_text(row: IncidentRow) -> Text:
    """Its state, and whether it has missed the deadline that comes next."""
    state = word(row.state.value)
    if row.due is not None and row.due.missed is not None:
        state.append(", late", "bold red")
    return state


def due_text(due: DeadlineView | None, clock: Clock | None = None) -> Text:
    """`contain in 12.0 min`, `recover 3.0 min late`: of the deadline that comes next."""
    if due is None:
        return Text("-")
    now = to_datetime((clock or SystemClock()).now_us())
    left_ms = (due.due - now).total_seconds() * 1_000
    if left_ms >= 0:
        return styled(f"{due.phase.value} in {_length(left_ms)}")
    said = f" (said {due.level}x)" if due.level else ""
    return styled(f"{due.phase.value} {_length(-left_ms)} late{said}", "bold red")


def print_deadlines(deadlines: Sequence[DeadlineView]) -> None:
    """Each phase: when it was due, and whether it was done by then."""
    if not deadlines:
        return
    say()
    say("Deadlines", "bold")
    for each in deadlines:
        line = Text(f"  {each.phase.value:<12} {time_text(each.due)}  ")
        if each.met is None:
            line.append(due_text(each))
        elif each.met <= each.due:
            line.append(f"kept, {_length((each.due - each.met).total_seconds() * 1_000)} before", "green")
        else:
            line.append(f"missed by {_length((each.met - each.due).total_seconds() * 1_000)}", "bold red")
        say(line)


def _length(milliseconds: float) -> str:
    return duration_text(milliseconds) if milliseconds < 120_000 else f"{_hours(milliseconds / 60_000)}"


def _hours(minutes: float) -> str:
    whole = int(minutes)
    if whole < 60:
        return f"{whole} min"
    if whole < 48 * 60:
        return f"{whole // 60} h {whole % 60} min"
    return f"{whole // 1_440} d {whole % 1_440 // 60} h"


def _print_scope(scope: Sequence[Touched]) -> None:
    """What it touches, by kind, as a tree."""
    if not scope:
        return
    say()
    say("Scope and impact", "bold")
    kinds = list(dict.fromkeys(each.kind for each in scope))
    for kind in kinds:
        last = kind == kinds[-1]
        say(f"{'└─' if last else '├─'} {kind}")
        things = [each for each in scope if each.kind == kind]
        for thing in things:
            stem = f"{'   ' if last else '│  '}{'└─' if thing is things[-1] else '├─'} "
            under = f"{'   ' if last else '│  '}{'   ' if thing is things[-1] else '│  '}"
            _wrapped(stem, under + "  ", f"{thing.name}  {'; '.join(thing.facts)}".strip())


def _print_related(related: Sequence[Related]) -> None:
    if not related:
        return
    say()
    say("Related incidents", "bold")
    for each in related:
        text = f"{each.incident}  {each.type} {key_text(each.key)}, {each.state.value}: {', '.join(each.how)}"
        _wrapped("  ", "    ", text)


def _print_story(story: Sequence[StoryLine]) -> None:
    """One line each, days apart by a line of their own; what is too long goes on below."""
    if not story:
        return
    say()
    say("Story", "bold")
    day = ""
    for each in story:
        if f"{each.at:%Y-%m-%d}" != day:
            day = f"{each.at:%Y-%m-%d}"
            say(f"  {day}", "dim")
        after = "" if each.after_ms is None else f" (+{duration_text(each.after_ms)} from the event)"
        who = f"{each.who}: " if each.who else ""
        stem = f"  {each.at:%H:%M:%S}.{each.at.microsecond // 1_000:03d} "
        _wrapped(stem, " " * 15, f"{who}{each.text}{after}".strip(), kind=each.kind)


def _wrapped(stem: str, under: str, text: str, *, kind: str = "") -> None:
    """A line, folded at the width of the terminal with what follows below its text."""
    shown = console()
    whole = f"{kind}  {text}" if kind and text else kind or text
    lines: Iterable[str] = [whole]
    if shown.is_terminal:
        width = max(WIDTH_MIN, shown.width) - len(under)
        lines = textwrap.wrap(whole, width, break_on_hyphens=False) or [""]
    for place, line in enumerate(lines):
        start = stem if place == 0 else under
        if place == 0 and kind:
            say(Text.assemble(styled(start, "dim"), styled(kind, _STYLES.get(kind, "bold")), styled(line[len(kind) :])))
        else:
            say(Text.assemble(styled(start, "dim"), styled(line)))

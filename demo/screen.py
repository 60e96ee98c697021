"""What the demonstration shows: facts to lines on the terminal, with the time since it began. Called by `demo`."""

import textwrap
import time
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from engine.model import IntentState
from engine.operate.shown import StepView


class Screen:
    """A readable timeline; each line has the seconds since the start."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=False)
        self._start = time.monotonic()

    def title(self, text: str) -> None:
        """A heading."""
        self._console.print()
        self._console.rule(Text(text, style="bold"), align="left", style="dim")

    def say(self, text: str, *, style: str = "") -> None:
        """Something happened."""
        stamp = Text(f"{time.monotonic() - self._start:6.2f}s  ", style="dim")
        self._console.print(stamp + Text(text, style=style))

    def verdict(self, text: str, *, holds: bool) -> None:
        """Something was checked."""
        mark = Text("  ✔ ", style="green") if holds else Text("  ✘ ", style="bold red")
        self._console.print(mark + Text(text, style="" if holds else "red"))

    def latencies(self, steps: Sequence[StepView]) -> None:
        """Two lines per step: what became of it, and how long after the event each station of its way was reached.

        Steps that were left out, since the event names no target for them, are told together.
        """
        taken = [step for step in steps if step.state is not IntentState.SKIPPED]
        for step in taken:
            done = step.state is IntentState.VERIFIED
            head = Text.assemble(
                (f"{step.place}  {step.action}", "bold"), "  ", (step.state.value, "green" if done else "bold red")
            )
            self._console.print(head)
            if not step.stations:
                continue
            first, *others = step.stations
            way = [f"{first.name}~{first.at:%H:%M:%S}", *(f"→~{each.name}~+{each.after_ms:.1f}" for each in others)]
            for line in textwrap.wrap(" ".join(way) + "~ms", self._console.width - 4):  # a station is not torn apart
                self._console.print(Text("    " + line.replace("~", " ")))
        left_out = [step.action for step in steps if step.state is IntentState.SKIPPED]
        if left_out:
            told = f"left out, for the event names no target for them: {', '.join(dict.fromkeys(left_out))}"
            for line in textwrap.wrap(told, self._console.width - 4, break_on_hyphens=False):
                self._console.print(Text(line, style="dim"))

    def block(self, text: str) -> None:
        """Text as it is, such as the end of a log."""
        self._console.print(Text(text, style="dim"))

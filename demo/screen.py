"""What the demonstration shows: facts to lines on the terminal, with the time since it began. Called by `demo`."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.operate.contract import StepView


class Screen:
    """A readable timeline; each line has the seconds since the start."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=False)
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
        """One row per step: how long after the event each station of its way was reached."""
        names: list[str] = []
        for step in steps:
            names += [station.name for station in step.stations if station.name not in names]
        table = Table("step", "action", *names[:1], box=None, header_style="bold", pad_edge=False)
        for name in names[1:]:
            table.add_column(f"→ {name}", justify="right")
        table.add_column("state")
        for step in steps:
            reached = {station.name: station for station in step.stations}
            cells = [f"{reached[name].after_ms:.1f} ms" if name in reached else "" for name in names[1:]]
            first = step.stations[0].at.strftime("%H:%M:%S.%f")[:-3] if step.stations else ""
            table.add_row(step.place, step.action, first, *cells, step.state.value)
        self._console.print(table)

    def block(self, text: str) -> None:
        """Text as it is, such as the end of a log."""
        self._console.print(Text(text, style="dim"))

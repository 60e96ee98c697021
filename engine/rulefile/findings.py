"""What the loader has found so far: diagnostics up to a limit, past which nobody reads on."""

from collections.abc import Iterable

from engine.diagnostics import Diagnostic, Level, error, sort

FINDINGS_MAX = 1_000
"""Most findings of one run; then the loader stops looking."""


class Findings:
    """Diagnostics in the order they were found; `full` tells the loader to stop."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []
        self.full = False

    def add(self, *diagnostics: Diagnostic) -> None:
        """Keep these, up to the limit."""
        self.extend(diagnostics)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Keep these, up to the limit."""
        for each in diagnostics:
            if len(self._found) >= FINDINGS_MAX:
                self.full = True
                return
            self._found.append(each)

    def errors(self) -> int:
        """How many of them are errors."""
        return sum(each.level is Level.ERROR for each in self._found)

    def all(self) -> list[Diagnostic]:
        """All of them in the order of their places; the last says so where there are more."""
        found = sort(self._found)
        if self.full:
            found.append(error("H003", f"more than {FINDINGS_MAX:,} findings", help="mend these first"))
        return found

"""A signal as the judge reads it; `engine.detect.index` makes one for each at a reload."""

from collections.abc import Callable, Mapping
from typing import Any

from engine.cel.compile import CompiledExpression
from engine.cel.contract import Expression
from engine.cel.hints import Hint, Path, hints
from engine.model import Event, Key
from engine.rulefile.rules import SignalRule

OfEvent = Callable[[Event], Any]
"""An expression, asked about an event. Raises CelFault."""


class Watch:
    """One signal: its expressions laid out, its key names sorted, its place in the rule set."""

    __slots__ = (
        "by",
        "demands",
        "detail",
        "holds",
        "known",
        "matches",
        "of",
        "only",
        "place",
        "rule",
        "stateless",
        "timed",
        "value",
    )

    def __init__(self, rule: SignalRule, place: int, known: dict[str, dict[str, Key]]) -> None:
        """`known`: of each name that is a key by itself, the keys by value; shared by all."""
        self.rule = rule
        self.place = place
        self.matches: Callable[[Event], bool] | None = rule.where.of_event if rule.where else None
        self.by: tuple[tuple[str, OfEvent], ...] = tuple((name, each.of_event) for name, each in sorted(rule.by))
        self.value: OfEvent | None = _of_event(rule.value)
        self.of: OfEvent | None = _of_event(rule.detect.of if rule.detect else None)
        self.only = self.by[0][1] if len(self.by) == 1 else None
        """What gives the value of the only name of the key, where there is but one."""
        self.known: dict[str, Key] = {} if self.only is None else known.setdefault(self.by[0][0], {})
        """Of such a signal the keys by that value."""
        self.holds = rule.for_us > 0
        self.timed = self.holds or (rule.detect is not None and rule.detect.detector.timed())
        """Whether its keys may have timers."""
        self.stateless = rule.detect is None and not rule.for_us and not rule.cooldown_us
        self.detail = f"matched `{rule.where.source}`" if rule.where else "an event of that type"
        self.demands: tuple[Hint, ...] = ()
        """What an event must have, or its judging comes to nothing. With `for`, what does not match ends a hold."""
        if rule.where is not None and not rule.for_us:
            self.demands = hints(rule.where)

    def sift(self, given: Mapping[Path, str]) -> Callable[[Event], bool] | None:
        """What tells events apart on which the condition is plainly false, of those that have these texts."""
        where = self.rule.where
        return where.sift(given) if isinstance(where, CompiledExpression) and not self.holds else None


def _of_event(expression: Expression | None) -> OfEvent | None:
    return None if expression is None else expression.of_event

"""A signal as the judge reads it; `engine.detect.index` makes one for each at a reload."""

from collections.abc import Callable

from engine.cel.contract import Expression, Scope
from engine.cel.hints import Hint, hints
from engine.rulefile.rules import SignalRule


class Watch:
    """One signal: its expressions laid out, its key names sorted, its place in the rule set."""

    __slots__ = ("by", "demands", "detail", "matches", "of", "place", "rule", "stateless", "value")

    def __init__(self, rule: SignalRule, place: int) -> None:
        self.rule = rule
        self.place = place
        self.matches: Callable[[Scope], bool] | None = rule.where.evaluate if rule.where else None
        self.by = tuple(sorted(rule.by))
        self.value: Expression | None = rule.value
        self.of: Expression | None = rule.detect.of if rule.detect else None
        self.stateless = rule.detect is None and not rule.for_us and not rule.cooldown_us
        self.detail = f"matched `{rule.where.source}`" if rule.where else "an event of that type"
        self.demands: tuple[Hint, ...] = ()
        """What an event must have, or its judging comes to nothing. With `for`, what does not match ends a hold."""
        if rule.where is not None and not rule.for_us:
            self.demands = hints(rule.where)

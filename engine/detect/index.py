"""A rule set to the signals that may match an event; built at each reload, asked once per event.

The type of an event gives its listeners, exact names and prefixes alike, in the order of the rule set; the answer is
kept per type.
"""

from collections.abc import Mapping

from engine.cel.contract import Expression
from engine.model import SignalId
from engine.rulefile.rules import SignalRule

TYPES_MAX = 10_000
"""Event types whose listeners are kept; past this all are worked out anew."""


class Watch:
    """One signal as the judge reads it: its expressions laid out, its key names sorted."""

    __slots__ = ("by", "detail", "needs_of", "of", "rule", "stateless", "value", "where")

    def __init__(self, rule: SignalRule) -> None:
        self.rule = rule
        self.where: Expression | None = rule.where
        self.by = tuple(sorted(rule.by))
        self.value: Expression | None = rule.value
        self.of: Expression | None = rule.detect.of if rule.detect else None
        self.stateless = rule.detect is None and not rule.for_us and not rule.cooldown_us
        self.detail = f"matched `{rule.where.source}`" if rule.where else "an event of that type"


class RulesIndex:
    """The signals by what they listen to."""

    def __init__(self, signals: Mapping[SignalId, SignalRule]) -> None:
        self.signals = signals
        self.watches = {rule.id: Watch(rule) for rule in signals.values()}
        self._exact: dict[str, list[int]] = {}
        self._prefixes: dict[str, list[int]] = {}
        self._order = list(self.watches.values())
        for place, watch in enumerate(self._order):
            for name in watch.rule.on.exact:
                self._exact.setdefault(name, []).append(place)
            for prefix in watch.rule.on.prefixes:
                self._prefixes.setdefault(prefix, []).append(place)
        self._by_type: dict[str, tuple[Watch, ...]] = {}

    def candidates(self, event_type: str) -> tuple[Watch, ...]:
        """Who listens to that type, in the order of the rule set."""
        known = self._by_type.get(event_type)
        if known is not None:
            return known
        places = set(self._exact.get(event_type, ()))
        # A prefix ends in a dot, so only the dots of the type can end one.
        at = event_type.find(".")
        while at >= 0:
            places.update(self._prefixes.get(event_type[: at + 1], ()))
            at = event_type.find(".", at + 1)
        found = tuple(self._order[place] for place in sorted(places))
        if len(self._by_type) >= TYPES_MAX:
            self._by_type.clear()
        self._by_type[event_type] = found
        return found

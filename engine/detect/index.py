"""A rule set to the signals that may match an event; built at each reload, asked once per event.

The type of an event gives the nets of those that listen to it, by its exact name and by prefixes; the nets leave out
whose condition demands another value of it. What is left is in the order of the rule set.
"""

from collections.abc import Mapping

from engine.detect.net import Find, Net, Watches, in_order
from engine.detect.watch import Watch
from engine.model import Event, Key, SignalId
from engine.rulefile.rules import SignalRule

TYPES_MAX = 10_000
"""Event types whose nets are kept at hand; past this all are looked up anew."""


class RulesIndex:
    """The signals by what they listen to, then by what they demand."""

    def __init__(self, signals: Mapping[SignalId, SignalRule]) -> None:
        known: dict[str, dict[str, Key]] = {}
        exact: dict[str, list[Watch]] = {}
        prefixed: dict[str, list[Watch]] = {}
        for place, rule in enumerate(signals.values()):
            watch, on = Watch(rule, place, known), rule.on
            # Each type meets a signal in one net only: what a prefix of the same signal covers is left out.
            for name in on.exact:
                if not name.startswith(on.prefixes):
                    exact.setdefault(name, []).append(watch)
            for prefix in on.prefixes:
                if not any(prefix.startswith(other) for other in on.prefixes if other != prefix):
                    prefixed.setdefault(prefix, []).append(watch)
        self._exact = {name: Net(watches, {("type",): name}).finder() for name, watches in exact.items()}
        self._prefixed = {prefix: Net(watches, {}).finder() for prefix, watches in prefixed.items()}
        self.by_type: dict[str, Find] = {}
        """What finds the candidates of the types that came up: what `candidates` asks, at hand for `engine.core`."""

    def candidates(self, event: Event) -> Watches:
        """Whose judging of the event may come to something, in the order of the rule set."""
        find = self.by_type.get(event.type)
        return self._find_by(event.type)(event) if find is None else find(event)

    def _find_by(self, event_type: str) -> Find:
        """What finds the candidates for events of a type; kept, as there are few types and many events."""
        nets = [self._exact.get(event_type)]
        # A prefix ends in a dot, so only the dots of the type can end one.
        at = event_type.find(".")
        while at >= 0:
            nets.append(self._prefixed.get(event_type[: at + 1]))
            at = event_type.find(".", at + 1)
        finds = tuple(find for find in nets if find is not None)
        if len(self.by_type) >= TYPES_MAX:
            self.by_type.clear()
        self.by_type[event_type] = find = finds[0] if len(finds) == 1 else _all_of(finds)
        return find


def _all_of(finds: tuple[Find, ...]) -> Find:
    def find(event: Event) -> Watches:
        found: Watches = ()
        for each in finds:
            more = each(event)
            if more:
                found = in_order(found, more) if found else more
        return found

    return find

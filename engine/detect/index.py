"""A rule set to the signals that may match an event; built at each reload, asked once per event.

The type of an event gives the nets of those that listen to it, by its exact name and by prefixes; the nets leave out
whose condition demands another value of it. What is left is in the order of the rule set.
"""

from collections.abc import Mapping

from engine.detect.net import Finder, Net, Watches, in_order
from engine.detect.watch import Watch
from engine.model import Event, SignalId
from engine.rulefile.rules import SignalRule

TYPES_MAX = 10_000
"""Event types whose nets are kept at hand; past this all are looked up anew."""


class RulesIndex:
    """The signals by what they listen to, then by what they demand."""

    def __init__(self, signals: Mapping[SignalId, SignalRule]) -> None:
        exact: dict[str, list[Watch]] = {}
        prefixed: dict[str, list[Watch]] = {}
        for place, rule in enumerate(signals.values()):
            watch, on = Watch(rule, place), rule.on
            # Each type meets a signal in one net only: what a prefix of the same signal covers is left out.
            for name in on.exact:
                if not name.startswith(on.prefixes):
                    exact.setdefault(name, []).append(watch)
            for prefix in on.prefixes:
                if not any(prefix.startswith(other) for other in on.prefixes if other != prefix):
                    prefixed.setdefault(prefix, []).append(watch)
        self._exact = {name: Net(watches).finder() for name, watches in exact.items()}
        self._prefixed = {prefix: Net(watches).finder() for prefix, watches in prefixed.items()}
        self._by_type: dict[str, tuple[Finder, ...]] = {}

    def candidates(self, event: Event) -> Watches:
        """Whose judging of the event may come to something, in the order of the rule set."""
        nets = self._by_type.get(event.type)
        if nets is None:
            nets = self._nets(event.type)
        found: Watches = ()
        for net in nets:
            more = net.find(event)
            if more:
                found = in_order(found, more) if found else more
        return found

    def _nets(self, event_type: str) -> tuple[Finder, ...]:
        nets = [self._exact.get(event_type)]
        # A prefix ends in a dot, so only the dots of the type can end one.
        at = event_type.find(".")
        while at >= 0:
            nets.append(self._prefixed.get(event_type[: at + 1]))
            at = event_type.find(".", at + 1)
        if len(self._by_type) >= TYPES_MAX:
            self._by_type.clear()
        self._by_type[event_type] = found = tuple(net for net in nets if net is not None)
        return found

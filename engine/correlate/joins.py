"""A rule set to which rules a signal counts for; built at each reload by `engine.core`."""

from collections.abc import Mapping

from engine.model import IncidentType, Key, PlaybookId, RuleId, SignalId
from engine.rulefile.rules import AnyOf, Rule, RuleSet, Sequence


class Join:
    """One rule as the matcher reads it."""

    __slots__ = (
        "at_least",
        "by",
        "corroborate",
        "incident",
        "memoryless",
        "names",
        "names_len",
        "places",
        "rule",
        "sequence",
        "within_us",
    )

    def __init__(self, rule: Rule) -> None:
        of = rule.when.of
        self.rule = rule
        self.by = frozenset(rule.by)
        self.names_len = len(self.by)
        self.incident = rule.incident
        self.names = of.signals
        self.sequence = isinstance(of, Sequence)
        self.places: dict[SignalId, tuple[int, ...]] = {
            name: tuple(place for place in reversed(range(len(of.signals))) if of.signals[place] == name)
            for name in of.signals
        }
        """Of each name its places in a sequence, the last one first."""
        self.at_least = of.at_least if isinstance(of, AnyOf) else len(set(of.signals))
        """How many different names it takes, for `all` and `any`."""
        when = rule.when
        self.within_us = when.within_us
        self.corroborate = when.corroborate
        self.memoryless = (
            not self.sequence and self.at_least == 1 and not when.none and not when.wait_us and when.corroborate <= 1
        )

    def key_of(self, key: Key) -> Key:
        """A signal's key reduced to the rule's names."""
        return key if len(key) == len(self.by) else tuple(part for part in key if part[0] in self.by)


class Joins:
    """The rules by the signals they name. In the order of the rule set."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules: Mapping[RuleId, Rule] = rules.rules
        self.by_rule = {rule.id: Join(rule) for rule in rules.rules.values()}
        self.wanted: dict[SignalId, list[Join]] = {}
        """Rules that name the signal in `all`, `any` or `sequence`."""
        self.unwanted: dict[SignalId, list[Join]] = {}
        """Rules that name it in `none`."""
        self.by_type: dict[IncidentType, list[Join]] = {}
        for join in self.by_rule.values():
            for signal in dict.fromkeys(join.names):
                self.wanted.setdefault(signal, []).append(join)
            for signal in dict.fromkeys(join.rule.when.none):
                self.unwanted.setdefault(signal, []).append(join)
            self.by_type.setdefault(join.rule.incident, []).append(join)
        self._steps = {
            playbook.id: (len(playbook.contain), len(playbook.investigate), len(playbook.recover))
            for playbook in rules.playbooks.values()
        }

    def steps(self, playbook: PlaybookId) -> tuple[int, int, int]:
        """How many steps the phases of a playbook have."""
        return self._steps.get(playbook, (0, 0, 0))

"""A sound rule set to warnings: what loads and works, and is probably not what was meant.

`engine.rulefile.load` calls this last. Each check is a function from `Rules` to diagnostics; none of them can keep
rules from loading.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

from engine.action import Action, Catalogue
from engine.cel.syntax import Node
from engine.diagnostics import Diagnostic, Level, Note, Span, quoted
from engine.model import Mode, Phase, PlaybookId, RuleId, SignalId
from engine.rulefile.contradictions import contradiction
from engine.rulefile.namespace import Entry, Kind, Namespace
from engine.rulefile.rules import AnyOf, EventTypes, Rule, RuleSet, Step
from engine.rulefile.rules import Sequence as InOrder
from engine.tomlfile import KeyPath

CANDIDATES_MAX = 200
"""Most rules that one rule is compared with; of thousands on one signal, most pairs say the same."""
_NAMED = re.compile(r"\b(list|value)\s*\.\s*(\w+)")


class _Rules:
    """The rule set, the places of its tables, and its actions."""

    def __init__(self, rules: RuleSet, names: Namespace, catalogue: Catalogue) -> None:
        self.set = rules
        self.names = names
        self.catalogue = catalogue

    def warn(
        self,
        code: str,
        title: str,
        kind: Kind,
        id_: str,
        path: KeyPath = (),
        *,
        label: str,
        help: str,  # noqa: A002
    ) -> Diagnostic:
        """A warning at a table, or at the value at `path` inside of it."""
        return self.warn_at(code, title, self.place(kind, id_, path), label=label, help=help)

    def warn_at(
        self,
        code: str,
        title: str,
        span: Span,
        *,
        label: str,
        help: str,  # noqa: A002
        notes: Sequence[Note] = (),
    ) -> Diagnostic:
        """A warning at a place; `help` is the word of the field."""
        return Diagnostic(
            code=code, level=Level.WARNING, title=title, span=span, label=label, help=help, notes=tuple(notes)
        )

    def place(self, kind: Kind, id_: str, path: KeyPath = ()) -> Span:
        """The id in the header of a table, or the value at `path` inside of it."""
        entry = self.names.of(kind)[id_]
        return entry.file.value((*entry.path, *path)) if path else entry.file.key(entry.path)


def lint(rules: RuleSet, names: Namespace, catalogue: Catalogue) -> Iterator[Diagnostic]:
    """All warnings about a rule set without errors."""
    whole = _Rules(rules, names, catalogue)
    for check in _CHECKS:
        yield from check(whole)


def _unused(rules: _Rules) -> Iterator[Diagnostic]:
    """H101 to H103, H111: declared, and named by nothing."""
    signals = {name for rule in rules.set.rules.values() for name in used_signals(rule)}
    for signal in rules.set.signals:
        if signal not in signals:
            title, label = f"signal {quoted(signal)} is never used", "no rule names it"
            yield rules.warn("H101", title, "signal", signal, label=label, help="name it in the `when` of a rule")
    playbooks = {rule.playbook for rule in rules.set.rules.values()}
    for playbook in rules.set.playbooks:
        if playbook not in playbooks:
            title, label = f"playbook {quoted(playbook)} is never used", "no rule names it"
            yield rules.warn("H102", title, "playbook", playbook, label=label, help="name it in a rule")
    if rules.set.lists or rules.set.values:
        texts = (text for entry in _entries(rules.names) for text in _texts(entry.table))
        used_names = {pair for text in texts for pair in _NAMED.findall(text)}
        for name in (each for each in rules.set.lists if ("list", each) not in used_names):
            help_ = f"use it as `event.subject in list.{name}`"
            title = f"list {quoted(name)} is never used"
            yield rules.warn("H103", title, "list", name, label="no condition names it", help=help_)
        for name in (each for each in rules.set.values if ("value", each) not in used_names):
            help_ = f'use it as `value.{name}` in a condition, or as `"${{value.{name}}}"` in `detect` or a step'
            title = f"value {quoted(name)} is never used"
            yield rules.warn("H111", title, "value", name, label="nothing names it", help=help_)


def _never_true(rules: _Rules) -> Iterator[Diagnostic]:
    """H104: conditions of signals that exclude themselves."""
    for signal in rules.set.signals.values():
        why = _contradiction(signal.where, signal.on)
        if why:
            title = f"`where` of signal {quoted(signal.id)} can never be true"
            yield rules.warn(
                "H104",
                title,
                "signal",
                signal.id,
                ("where",),
                label=why,
                help="correct the condition: no event will ever match",
            )


def _never_fires(rules: _Rules) -> Iterator[Diagnostic]:
    """H105: rules that need a signal which never comes, or which makes them void."""
    silent = {each.id for each in rules.set.signals.values() if _contradiction(each.where, each.on)}
    for rule in rules.set.rules.values():
        names = set(rule.when.of.signals)
        spoilt = names & (silent | set(rule.when.none))
        needed = rule.when.of.at_least if isinstance(rule.when.of, AnyOf) else len(names)
        if spoilt and len(names - spoilt) < needed:
            name = min(spoilt)
            why = (
                "is also under `none`: take it out of one of them"
                if name in rule.when.none
                else "has a condition that is never true: correct it, or take it out of `when`"
            )
            title = f"rule {quoted(rule.id)} can never fire"
            help_ = f"signal {quoted(name)} {why}"
            yield rules.warn("H105", title, "rule", rule.id, ("when",), label="needs what can't come", help=help_)


def _shadowed(rules: _Rules) -> Iterator[Diagnostic]:
    """H106: whenever the rule fires, another has fired for the same incident, with all that this one would do."""
    by_signal: dict[SignalId, list[Rule]] = {}
    for rule in rules.set.rules.values():
        for name in set(rule.when.of.signals):
            by_signal.setdefault(name, []).append(rule)
    order = {id_: at for at, id_ in enumerate(rules.set.rules)}
    for rule in rules.set.rules.values():
        shared = {each.id: each for name in rule.when.of.signals for each in by_signal[name][:CANDIDATES_MAX]}
        for other in shared.values():
            if other.id == rule.id or not _covers(other, rule):
                continue
            if _covers(rule, other) and order[rule.id] < order[other.id]:
                continue  # each covers the other: the later one is told
            note = Note(span=rules.place("rule", other.id), label="this one always fires too")
            yield rules.warn_at(
                "H106",
                f"rule {quoted(rule.id)} adds nothing to rule {quoted(other.id)}",
                rules.place("rule", rule.id),
                notes=[note],
                label=f"opens the same `{rule.incident}` incident, and does no more",
                help="remove one of them, or give them different playbooks or keys",
            )
            break


def _without_within(rules: _Rules) -> Iterator[Diagnostic]:
    """H107: several signals, or a `none`, and no `within`: signals that lie years apart make an incident."""
    for rule in rules.set.rules.values():
        of = rule.when.of
        needed = of.at_least if isinstance(of, AnyOf) else len(of.signals)
        if rule.when.within_us is None and (needed > 1 or (rule.when.none and not rule.when.wait_us)):
            title = f"`when` of rule {quoted(rule.id)} has no `within`"
            label = "signals that lie years apart are joined" if needed > 1 else "a signal of `none` counts forever"
            yield rules.warn("H107", title, "rule", rule.id, ("when",), label=label, help='add `within = "10m"`')


def _irreversible(rules: _Rules) -> Iterator[Diagnostic]:
    """H108: what can't be undone is done by itself, and one signal from one source is enough for it."""
    told: set[KeyPath] = set()
    for rule in rules.set.rules.values():
        of = rule.when.of
        needed = of.at_least if isinstance(of, AnyOf) else len(of.signals)
        if rule.playbook is None or rule.mode is Mode.OBSERVE or needed > 1 or rule.when.corroborate > 1:
            continue
        for path, step, action in _steps(rules, rule.playbook):
            place: KeyPath = (rule.playbook, *path)
            # Collecting evidence changes nothing that would have to be undone.
            if action.reversible or action.target_kind == "evidence" or step.approve or place in told:
                continue
            told.add(place)
            note = Note(span=rules.place("rule", rule.id), label="fires on one signal")
            yield rules.warn_at(
                "H108",
                f"{quoted(step.action)} can't be undone, and one signal is enough for it",
                rules.place("playbook", rule.playbook, (*path, "do")),
                notes=[note],
                label="irreversible",
                help="add `approve = true` to the step, or `corroborate = 2` or a second signal to the rule",
            )


def _loops(rules: _Rules) -> Iterator[Diagnostic]:
    """H109: an action whose effect raises an event that sets its own rule off again, at once or by way of others."""
    acting = {each.id: each for each in rules.set.rules.values() if each.playbook and each.mode is Mode.ENFORCE}
    raising = {rule.id: list(_raising(rules, rule)) for rule in acting.values()}
    hearers: dict[str, dict[RuleId, SignalId]] = {}
    for raised in {each for steps in raising.values() for _, action in steps for each in action.raises}:
        hearing = {name for name, signal in rules.set.signals.items() if _hears(signal.on, raised)}
        heard = ((rule.id, [name for name in rule.when.of.signals if name in hearing]) for rule in acting.values())
        hearers[raised] = {rule: names[0] for rule, names in heard if names}
    reached = {raised: _reached(raised, hearers, raising) for raised in hearers}
    for rule in acting.values():
        for path, action in raising[rule.id]:
            looping = next((each for each in action.raises if rule.id in reached[each]), None)
            if looping is None:
                continue
            heard_by = hearers[looping]
            first = next(
                each
                for each in (rule.id, *sorted(heard_by))
                if each in heard_by
                and (
                    each == rule.id or any(rule.id in reached[on] for _, next_ in raising[each] for on in next_.raises)
                )
            )
            way = "acts on" if first == rule.id else f"is led back to, by way of rule {quoted(first)}"
            yield rules.warn_at(
                "H109",
                f"{quoted(action.name)} raises events that rule {quoted(rule.id)} {way}",
                rules.place("playbook", rule.playbook or "", (*path, "do")),
                notes=[Note(span=rules.place("signal", heard_by[first]), label="hears what the action causes")],
                label="its effect feeds the rule again",
                help="exclude such events in `where` of the signal, or give it a `cooldown`",
            )


def _raising(rules: _Rules, rule: Rule) -> Iterator[tuple[KeyPath, "type[Action]"]]:  # type: ignore[type-arg]
    """The steps of a rule whose effects make someone publish events."""
    if rule.playbook is not None:
        yield from ((path, action) for path, _, action in _steps(rules, rule.playbook) if action.raises)


def _reached(
    raised: str,
    hearers: Mapping[str, Mapping[RuleId, SignalId]],
    raising: Mapping[RuleId, Sequence[tuple[KeyPath, "type[Action]"]]],  # type: ignore[type-arg]
) -> set[RuleId]:
    """The rules that an event of this type may set off, those that the first ones set off in turn included."""
    seen: set[RuleId] = set()
    told: set[str] = set()
    pending = [raised]
    while pending:
        each = pending.pop()
        if each in told:
            continue
        told.add(each)
        for rule in hearers[each].keys() - seen:
            seen.add(rule)
            pending += [more for _, action in raising[rule] for more in action.raises]
    return seen


def _contradicting(rules: _Rules) -> Iterator[Diagnostic]:
    """H110: two playbooks contain by actions of which one takes the other's effect back."""
    used = [rule.playbook for rule in rules.set.rules.values() if rule.playbook is not None]
    acting: dict[str, list[tuple[PlaybookId, KeyPath]]] = {}
    for playbook in dict.fromkeys(used):
        for path, step, _ in _steps(rules, playbook):
            if path[0] == Phase.CONTAIN.value:
                acting.setdefault(step.action, []).append((playbook, path))
    for one, other in combinations(sorted(acting), 2):
        first, second = rules.catalogue.actions[one], rules.catalogue.actions[other]
        if first.target_kind != second.target_kind or not (other in first.opposes or one in second.opposes):
            continue
        (left, left_path), (right, right_path) = acting[one][0], acting[other][0]
        if left == right:
            continue
        yield rules.warn_at(
            "H110",
            f"playbooks {quoted(left)} and {quoted(right)} contradict each other",
            rules.place("playbook", right, (*right_path, "do")),
            notes=[Note(span=rules.place("playbook", left, (*left_path, "do")), label="the other way round here")],
            label=f"works against what `{one}` does, on targets of kind `{first.target_kind}`",
            help="with both incidents open on one target, each undoes the other: choose one of these actions for both",
        )


_CHECKS: tuple[Callable[[_Rules], Iterator[Diagnostic]], ...] = (
    _unused,
    _never_true,
    _never_fires,
    _shadowed,
    _without_within,
    _irreversible,
    _loops,
    _contradicting,
)


def used_signals(rule: Rule) -> tuple[SignalId, ...]:
    """Every signal that a rule names, those of `none` included."""
    return (*rule.when.of.signals, *rule.when.none)


def _covers(other: Rule, rule: Rule) -> bool:
    """Whether `other` fires whenever `rule` does, for the same incident, and does at least as much."""
    same = other.incident == rule.incident and other.by == rule.by
    as_much = (
        other.severity.rank >= rule.severity.rank
        and rule.playbook in (None, other.playbook)
        and (other.mode is Mode.ENFORCE or other.mode is rule.mode)
    )
    free = not other.when.none and not other.when.wait_us and other.when.corroborate <= rule.when.corroborate
    if not (same and as_much and free):
        return False
    mine, theirs = set(rule.when.of.signals), set(other.when.of.signals)
    if isinstance(other.when.of, AnyOf):
        # What `rule` must see has so many of `theirs` in it that the other has enough.
        sure = rule.when.of.at_least - len(mine - theirs) if isinstance(rule.when.of, AnyOf) else len(mine & theirs)
        enough = sure >= other.when.of.at_least
        return enough and (other.when.of.at_least == 1 or _longer(other, rule))
    if isinstance(rule.when.of, AnyOf):
        return len(other.when.of.signals) == 1 and mine == theirs  # a sequence may ask for one signal several times
    if isinstance(other.when.of, InOrder):
        return other.when.of == rule.when.of and _longer(other, rule)
    return theirs <= mine and (len(theirs) == 1 or _longer(other, rule))


def _longer(other: Rule, rule: Rule) -> bool:
    """Whether `other` looks back at least as far as `rule`."""
    if other.when.within_us is None:
        return True
    return rule.when.within_us is not None and other.when.within_us >= rule.when.within_us


def _steps(rules: _Rules, playbook: PlaybookId) -> Iterator[tuple[KeyPath, Step, "type[Action]"]]:  # type: ignore[type-arg]
    """Each step of a playbook with its place in the table and its action."""
    whole = rules.set.playbooks[playbook]
    for phase in Phase:
        steps: tuple[Step, ...] = getattr(whole, phase.value)
        for index, step in enumerate(steps):
            yield (phase.value, index), step, rules.catalogue.actions[step.action]


def _contradiction(expression: object, on: EventTypes) -> str:
    """Why a condition can't be true; conditions that only the C++ runtime reads are not judged."""
    tree = getattr(expression, "tree", None)
    return contradiction(tree, on) if isinstance(tree, Node) else ""


def _hears(on: EventTypes, raised: str) -> bool:
    if raised.endswith(".*"):
        prefix = raised[:-1]
        return any(name.startswith(prefix) for name in on.exact) or any(
            each.startswith(prefix) or prefix.startswith(each) for each in on.prefixes
        )
    return on.match(raised)


def _entries(names: Namespace) -> Iterator[Entry]:
    kinds: tuple[Kind, ...] = ("signal", "playbook")
    for kind in kinds:
        yield from names.of(kind).values()


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)

"""The meaning of the rule language by brute force over the whole history, written from docs/rules.md alone.

Everything is recomputed from lists of all that ever came; nothing is fast, nothing is forgotten but what the text says
is. Numbers in comments are those of "Exact meaning". Left out: limits on keys, and what a sequence makes of signals
that come late (the tests feed sequences in order).
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

from engine.cel.contract import CelFault, Scope
from engine.model import Mode
from engine.rulefile.rules import All, AnyOf


@dataclass
class Seen:
    """A signal as the reference knows it."""

    name: str
    key: tuple
    at: int
    event: object
    order: int

    def shown(self):
        return (self.name, self.key, self.at, None if self.event is None else self.event.id)


@dataclass
class Window:
    """One key of one signal: every observation [(t, event, value, of)] and every judgement [(t, found, event)]."""

    observed: list = field(default_factory=list)
    since_reset: list = field(default_factory=list)
    judged: list = field(default_factory=list)
    told_silence_of: int | None = None
    told_hold_of: int | None = None
    given: int | None = None


@dataclass
class Memory:
    """One key of one rule."""

    wanted: list = field(default_factory=list)
    unwanted: list = field(default_factory=list)
    pending: tuple | None = None


@dataclass
class OpenIncident:
    incident: str
    key: tuple
    rule: str
    at: int
    severity: object
    mode: object
    evidence: list
    count: int
    decided: dict = field(default_factory=dict)
    steps: int = 0
    steps_from: int = 0
    reopened: int = 0


class Reference:
    def __init__(self, rules, *, lateness, ahead, evidence_max):
        self.rules, self.late, self.ahead, self.evidence_max = rules, lateness, ahead, evidence_max
        self.windows = defaultdict(Window)
        self.memories = defaultdict(Memory)
        self.open = {}
        self.closed = {}
        self.watched = []
        self.core = 0
        self.order = 0
        self.log = []

    # Time (1, 5, 6)

    def event(self, event, now):
        at = now if event.time_us > now + self.ahead else event.time_us
        self.core = max(self.core, min(at, now))
        self.timers(before=self.core)
        found = [each for rule in self.rules.signals.values() for each in self.judge(rule, event, at)]
        self.signals(found)
        self.timers(before=self.core)

    def tick(self, now):
        self.core = max(self.core, now)
        self.timers(before=self.core + 1)

    def timers(self, before):
        while True:
            due = [each for each in self.due() if each[0] < before]
            if not due:
                return
            at, kind, name, key = min(due)
            if kind == 0:
                self.signals(self.window_timer(self.rules.signals[name], key, at))
            else:
                self.wait_over(self.rules.rules[name], key, at)

    def due(self):
        for (*second, name, key), window in self.windows.items():
            rule = self.rules.signals[name]
            since = self.holds_since(rule, window)
            if rule.for_us and since is not None and window.told_hold_of != since:
                yield since + rule.for_us, 0, name, key
            if self.method(rule) == "absence" and window.observed:
                newest = max(each[0] for each in window.observed)
                if window.told_silence_of != newest:
                    yield newest + (rule.watched if second else rule.detect).params.for_, 0, name, key
        for (name, key), memory in self.memories.items():
            if memory.pending is not None:
                yield memory.pending[0], 1, name, key

    # Signals (7 to 11)

    @staticmethod
    def method(rule):
        return rule.detect.method if rule.detect else None

    def judge(self, rule, event, at):
        if not rule.on.match(event.type):
            return
        scope = Scope(event=event)
        try:
            matches = rule.where is None or rule.where.evaluate(scope)
        except CelFault:
            matches = False
        try:
            key = tuple(sorted((name, text.evaluate(scope)) for name, text in rule.by))
            if not matches:
                window = self.windows.get((rule.id, key))
                if window is not None and window.observed:
                    window.judged.append((at, False, event))
                return
            value = None if rule.value is None else float(rule.value.evaluate(scope))
            of = rule.detect.of.evaluate(scope) if rule.detect and rule.detect.of else None
        except CelFault:
            return
        if self.method(rule) == "ratio" and not isinstance(of, bool):
            return
        window = self.windows[rule.id, key]
        found = self.finds(rule, rule.detect and rule.detect.params, window, at, value, of)
        if rule.watched is not None:
            # 12: a second window that is fed the same, and counts for watched keys
            second = self.windows["watched", rule.id, key]
            stricter = self.finds(rule, rule.watched.params, second, at, value, of)
            second.observed.append((at, event, value, of))
            found = found or (stricter and self.watches(key, at))
        window.observed.append((at, event, value, of))
        window.judged.append((at, found, event))
        since = self.holds_since(rule, window)
        if rule.for_us and found:
            found = since is not None and at - since >= rule.for_us
            if found:
                window.told_hold_of = since
        if found:
            yield from self.give(rule, window, key, at, event)

    def watches(self, key, at):
        return any(set(entry) <= set(key) and since <= at < until for entry, since, until in self.watched)

    def holds_since(self, rule, window):
        """10: recomputed from every judgement of the key."""
        newest = since = None
        for at, found, _ in window.judged:
            if newest is not None and at < newest:
                continue
            newest = at
            if not found:
                since = None
            elif since is None:
                since = at
        return since

    def window_timer(self, rule, key, at):
        window = self.windows[rule.id, key]
        since = self.holds_since(rule, window)
        if rule.for_us and since is not None and window.told_hold_of != since and since + rule.for_us == at:
            window.told_hold_of = since
            newest, event = None, None
            for each, _, its_event in window.judged:
                if newest is None or each >= newest:
                    newest, event = each, its_event
            return list(self.give(rule, window, key, at, event))
        found = False
        for each, detect in ((window, rule.detect), (self.windows.get(("watched", rule.id, key)), rule.watched)):
            if detect is None or each is None:
                continue
            newest = max(time for time, *_ in each.observed)
            if each.told_silence_of != newest and newest + detect.params.for_ == at:
                each.told_silence_of = newest
                found |= detect is rule.detect or self.watches(key, at)
        return list(self.give(rule, window, key, at, None)) if found else []

    def give(self, rule, window, key, at, event):
        if rule.cooldown_us and window.given is not None and at < window.given + rule.cooldown_us:
            return
        window.given = at
        self.order += 1
        yield Seen(rule.id, key, at, event, self.order)

    # Methods (13 to 17)

    def finds(self, rule, params, window, at, value, of):
        method = self.method(rule)
        if method is None:
            return True
        if method == "absence":
            return False
        newest = max([at, *(each[0] for each in window.observed)])
        oldest = newest - params.within - self.late
        if at < oldest:
            return False
        if method in ("count", "distinct"):
            window.since_reset.append((at, of))
            kept = [each for each in window.since_reset if each[0] >= oldest]
            for start, _ in kept:
                inside = [each for each in kept if start <= each[0] <= start + params.within]
                size = len(inside) if method == "count" else len({each[1] for each in inside})
                if start <= at <= start + params.within and size >= params.at_least:
                    window.since_reset.clear()
                    return True
            return False
        kept = [(t, place, v, o) for place, (t, _, v, o) in enumerate(window.observed) if t >= oldest]
        kept.append((at, len(window.observed), value, of))
        if method == "quantile":
            assert len(kept) <= params.events_max, "past that a sketch answers"
        inside = [each for each in kept if at - params.within <= each[0] <= at]
        if len(inside) < params.min_events:
            return False
        if method == "ratio":
            return sum(each[3] for each in inside) / len(inside) >= params.at_least
        values = sorted(each[2] for each in inside)
        figure = {
            "sum": lambda: math.fsum(values),
            "mean": lambda: math.fsum(values) / len(values),
            "min": lambda: values[0],
            "max": lambda: values[-1],
            "quantile": lambda: self.quantile(values, params.q),
        }[method]()
        above, below = params.above, params.below
        return (above is not None and figure > above) or (below is not None and figure < below)

    @staticmethod
    def quantile(values, q):
        share = Fraction(str(q))
        return next(v for v in values if sum(1 for each in values if each <= v) >= share * len(values))

    # Rules (18 to 22)

    def signals(self, found):
        self.log += [("signal", *each.shown()) for each in found]
        for signal in found:
            for rule in self.rules.rules.values():
                if signal.name in rule.when.none:
                    memory = self.memories[rule.id, self.joined(rule, signal)]
                    memory.unwanted.append(signal)
                    if memory.pending is not None and self.reaches(rule, signal.at, memory.pending[1]):
                        memory.pending = None
        for signal in found:
            rules = [each for each in self.rules.rules.values() if signal.name in each.when.of.signals]
            for place in dict.fromkeys((each.incident, self.joined(each, signal)) for each in rules):
                if place in self.open:
                    self.absorb(self.open[place], signal)
            for rule in rules:
                self.wanted(rule, self.joined(rule, signal), signal)

    @staticmethod
    def joined(rule, signal):
        return tuple((name, value) for name, value in signal.key if name in rule.by)

    @staticmethod
    def reaches(rule, at, end):
        return rule.when.within_us is None or at >= end - rule.when.within_us

    def wanted(self, rule, key, signal):
        memory = self.memories[rule.id, key]
        memory.wanted.append(signal)
        match = self.match(rule, memory.wanted, signal)
        if match is None:
            return
        end = max(each.at for each in match)
        if any(self.reaches(rule, each.at, end) for each in memory.unwanted):
            return
        sources = {
            each.event.source for each in memory.wanted if each.event is not None and self.reaches(rule, each.at, end)
        }
        if rule.when.corroborate > 1 and len(sources) < rule.when.corroborate:
            return
        if not rule.when.wait_us:
            memory.wanted.clear()
            memory.pending = None
            self.fire(rule, key, match, end)
        elif memory.pending is None:
            memory.pending = (end + rule.when.wait_us, end, match)

    def match(self, rule, wanted, signal):
        within = math.inf if rule.when.within_us is None else rule.when.within_us
        of = rule.when.of
        newest = {each.name: each for each in sorted(wanted, key=lambda each: (each.at, each.order))}
        others = [newest[name] for name in dict.fromkeys(of.signals) if name != signal.name and name in newest]
        if isinstance(of, All):
            whole = [*others, signal]
            times = [each.at for each in whole]
            return whole if len(whole) == len(set(of.signals)) and max(times) - min(times) <= within else None
        if isinstance(of, AnyOf):
            if of.at_least == 1:
                return [signal]
            ends = [signal.at, *(each.at for each in others if signal.at < each.at <= signal.at + within)]
            for end in sorted(ends, reverse=True):
                inside = [*(each for each in others if within == math.inf or end - within <= each.at <= end), signal]
                if len(inside) >= of.at_least:
                    return inside
            return None
        places = [[each for each in wanted if each.name == name] for name in of.signals[:-1]]
        if of.signals[-1] != signal.name:
            return None
        chains = []
        for chain in product(*places):
            orders = [each.order for each in (*chain, signal)]
            if sorted(set(orders)) == orders and signal.at - (*chain, signal)[0].at <= within:
                chains.append([*chain, signal])
        # Of several that would do: each place has the newest signal that its successor leaves it.
        return max(chains, key=lambda each: [signal.order for signal in reversed(each)], default=None)

    def wait_over(self, rule, key, at):
        memory = self.memories[rule.id, key]
        match = memory.pending[2]
        memory.pending = None
        memory.wanted.clear()
        self.fire(rule, key, match, at)

    # Incidents and steps (24 to 27)

    def fire(self, rule, key, match, at):
        place = (rule.incident, key)
        opened = self.open.get(place)
        closed, until = self.closed.get(place, (None, None))
        if opened is None and closed is not None and at <= until:
            # 26: it is open again; its steps count no more, and half of its evidence stays
            opened = self.open[place] = closed
            del self.closed[place]
            opened.evidence = opened.evidence[: self.evidence_max // 2]
            opened.mode, opened.decided, opened.steps_from = rule.mode, {}, opened.steps
            opened.reopened += 1
            self.log.append(("reopened", rule.incident, key, at))
        if opened is None:
            self.closed.pop(place, None)
            kept = sorted(match, key=lambda each: each.at)[: self.evidence_max]
            opened = OpenIncident(rule.incident, key, rule.id, at, rule.severity, rule.mode, kept, len(match))
            self.open[place] = opened
            self.log.append(("incident", rule.incident, rule.id, key, at, rule.severity))
        else:
            known = {each.order for each in opened.evidence}
            for each in sorted(match, key=lambda each: each.at):
                if each.order not in known and len(opened.evidence) < self.evidence_max:
                    self.absorb(opened, each)
            opened.severity = max(opened.severity, rule.severity, key=lambda each: each.rank)
            if rule.mode is Mode.ENFORCE:
                opened.mode = Mode.ENFORCE
        before = opened.decided.get(rule.playbook)
        if rule.playbook and (before is None or (before is Mode.OBSERVE and rule.mode is Mode.ENFORCE)):
            opened.decided[rule.playbook] = rule.mode
            opened.steps += 1
            self.log.append(("steps", rule.incident, key, rule.playbook, rule.mode, at))

    def absorb(self, opened, signal):
        opened.count += 1
        if len(opened.evidence) < self.evidence_max:
            opened.evidence.append(signal)

    def close(self, place, until=None):
        closed = self.open.pop(place)
        self.closed.pop(place, None)
        if until is not None:
            self.closed[place] = (closed, until)
        for rule in self.rules.rules.values():
            if rule.incident == place[0] and set(rule.by) == {name for name, _ in place[1]}:
                memory = self.memories[rule.id, place[1]]
                memory.wanted.clear()
                memory.pending = None

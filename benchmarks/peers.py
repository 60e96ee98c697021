"""The peers of the matching benchmark: each takes the rules once, then undecoded events, and counts its matches.

`benchmarks.rounds` makes one per process, since some of them crash, and imports their libraries only there.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.workloads import (
    THRESHOLD,
    WORK_B_RULES,
    WorkBReference,
    model_of,
    work_a_events,
    work_a_rules,
    work_b_events,
)

EVENTS = 20_000
CHUNK = 500
"""Events between two drains of what changed: as many as the daemon, as shipped, takes into one transaction."""
DURABLE_RULES_MAX = 500


def rules_of(text: str) -> Any:
    """A checked rule set, by the real loader."""
    from actions.table import load_catalogue
    from engine.detectors.table import DETECTORS
    from engine.rulefile.load import check_files
    from engine.tomlfile import parse_toml

    rules, found = check_files(
        [parse_toml(text.encode(), "bench.toml")], catalogue=load_catalogue().catalogue, detectors=DETECTORS
    )
    assert rules is not None, found
    return rules


class Peer:
    """`chunk` is the next piece of the stream, `judge` says how many of its events matched."""

    def __init__(self, rules: int) -> None:
        self.events = work_a_events(rules, EVENTS)
        self.at = 0
        self.load(rules)

    def load(self, rules: int) -> None:
        raise NotImplementedError

    def judge(self, raws: Sequence[bytes]) -> int:
        raise NotImplementedError

    def chunk(self) -> list[bytes]:
        if self.at >= len(self.events):
            self.at = 0
        self.at += CHUNK
        return self.events[self.at - CHUNK : self.at]


class DecodeOnly(Peer):
    """The bound: `msgspec` to plain dicts."""

    def load(self, rules: int) -> None:  # noqa: ARG002  # asked of all
        self.decode = msgspec.json.Decoder().decode

    def judge(self, raws: Sequence[bytes]) -> int:
        for raw in raws:
            self.decode(raw)
        return 0


class HandIndex(Peer):
    """What somebody would write by hand for this one shape of rule: no check of the event, no time, no window."""

    def load(self, rules: int) -> None:
        self.decode = msgspec.json.Decoder().decode
        self.thresholds = {("inference", model_of(number)): THRESHOLD for number in range(rules)}

    def judge(self, raws: Sequence[bytes]) -> int:
        decode, find, matches = self.decode, self.thresholds.get, 0
        for raw in raws:
            event = decode(raw)
            data = event["data"]
            threshold = find((event["type"], data["model"]))
            if threshold is not None and data["score"] > threshold:
                matches += 1
        return matches


class Halon(Peer):
    """The whole core: a CloudEvent checked, its time read, judged, correlated."""

    def load(self, rules: int) -> None:
        from engine.cloudevents import decode_plain
        from engine.collector import at_rest, calm
        from engine.core import EMPTY, Core

        self.decode, self.empty = decode_plain, EMPTY
        calm()  # as the daemon does, and as it loads its rules
        with at_rest(settle=True):
            self.core = Core(rules_of(work_a_rules(rules)))

    def judge(self, raws: Sequence[bytes]) -> int:
        decode, judge, empty, matches = self.decode, self.core.event, self.empty, 0
        for raw in raws:
            event = decode(raw, 0)
            assert event is not None, "all are in the common form"
            step = judge(event, event.time_us)
            if step is not empty:  # as the pipeline asks
                matches += len(step.signals)
        self.core.drain_changes()
        return matches


class HalonDecodeHandIndex(HandIndex):
    """The bound of the matching alone: Halon's checked decoding, then the index by hand."""

    def judge(self, raws: Sequence[bytes]) -> int:
        from engine.cloudevents import decode_plain

        find, matches = self.thresholds.get, 0
        for raw in raws:
            event = decode_plain(raw, 0)
            assert event is not None, "all are in the common form"
            data: Any = event.data
            threshold = find((event.type, data["model"]))
            if threshold is not None and data["score"] > threshold:
                matches += 1
        return matches


def flat(raw: bytes) -> dict[str, Any]:
    """The fields that the peers' rules read, on one level."""
    event = msgspec.json.decode(raw)
    return {"type": event["type"], "model": event["data"]["model"], "score": event["data"]["score"], "id": event["id"]}


class DurableRules(Peer):
    """`post` of durable-rules. With 513 rules that differ in a constant it hangs: it is given 500 at most."""

    def load(self, rules: int) -> None:
        rules = min(rules, DURABLE_RULES_MAX)
        from durable import lang

        self.lang, self.matches = lang, 0

        def add(number: int) -> None:
            @lang.when_all(
                (lang.m.type == "inference") & (lang.m.model == model_of(number)) & (lang.m.score > THRESHOLD)
            )
            def matched(_: Any) -> None:
                self.matches += 1

        with lang.ruleset("bench"):
            for number in range(rules):
                add(number)

    def judge(self, raws: Sequence[bytes]) -> int:
        self.matches = 0
        for raw in raws:
            with contextlib.suppress(Exception):  # an event that no rule takes is an exception there
                self.lang.post("bench", flat(raw))
        return self.matches


class Drools(Peer):
    """Drools in a JVM, by drools_jpy; it takes JSON text."""

    def load(self, rules: int) -> None:
        java = shutil.which("java")
        if java:
            os.environ.setdefault("JAVA_HOME", str(Path(java).resolve().parent.parent))
        from drools.rule import Rule
        from drools.ruleset import Ruleset

        def compare(kind: str, field: str, value: dict[str, Any]) -> dict[str, Any]:
            return {kind: {"lhs": {"Event": field}, "rhs": value}}

        def both(left: Any, right: Any) -> dict[str, Any]:
            return {"AndExpression": {"lhs": left, "rhs": right}}

        def rule(number: int) -> dict[str, Any]:
            test = both(
                both(
                    compare("EqualsExpression", "type", {"String": "inference"}),
                    compare("EqualsExpression", "data.model", {"String": model_of(number)}),
                ),
                compare("GreaterThanExpression", "data.score", {"Float": THRESHOLD}),
            )
            return {
                "Rule": {"name": f"r{number}", "condition": {"AllCondition": [test]}, "action": {}, "enabled": True}
            }

        self.matches = 0
        text = json.dumps({"name": "bench", "hosts": ["all"], "sources": [], "rules": [rule(n) for n in range(rules)]})
        self.rules = Ruleset(name="bench", serialized_ruleset=text)

        def matched(*_: Any) -> None:
            self.matches += 1

        for number in range(rules):
            self.rules.add_rule(Rule(name=f"r{number}", callback=matched))

    def judge(self, raws: Sequence[bytes]) -> int:
        self.matches = 0
        for raw in raws:
            self.rules.assert_event(raw.decode())
        return self.matches


class Clips(Peer):
    """CLIPS by clipspy: a fact asserted, the agenda run, the fact taken back."""

    def load(self, rules: int) -> None:
        import clips

        self.matches = 0
        self.environment = clips.Environment()
        self.environment.define_function(self._matched, "matched")
        self.environment.build("(deftemplate event (slot type) (slot model) (slot score))")
        for number in range(rules):
            self.environment.build(
                f'(defrule r{number} (event (type "inference") (model "{model_of(number)}") '
                f"(score ?s&:(> ?s {THRESHOLD}))) => (matched))"
            )
        self.template = self.environment.find_template("event")

    def _matched(self) -> None:
        self.matches += 1

    def judge(self, raws: Sequence[bytes]) -> int:
        self.matches = 0
        for raw in raws:
            event = flat(raw)
            fact = self.template.assert_fact(type=event["type"], model=event["model"], score=float(event["score"]))
            self.environment.run()
            fact.retract()
        return self.matches


class RuleEngine(Peer):
    """The package rule-engine, rule by rule."""

    def load(self, rules: int) -> None:
        import rule_engine

        self.tests: list[Callable[[Any], bool]] = [
            rule_engine.Rule(f"type == 'inference' and model == '{model_of(number)}' and score > {THRESHOLD}").matches
            for number in range(rules)
        ]

    def judge(self, raws: Sequence[bytes]) -> int:
        matches = 0
        for raw in raws:
            event = flat(raw)
            matches += sum(1 for test in self.tests if test(event))
        return matches


class CelRuleByRule(Peer):
    """Google's C++ CEL runtime, rule by rule."""

    def load(self, rules: int) -> None:
        from cel_expr_python import cel

        environment = cel.NewEnv(variables={"event": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})
        self.programs = [
            environment.compile(
                "event.type == 'inference' && "
                f"event.data.model == '{model_of(number)}' && event.data.score > {THRESHOLD}"
            )
            for number in range(rules)
        ]

    def judge(self, raws: Sequence[bytes]) -> int:
        matches = 0
        for raw in raws:
            data = {"event": msgspec.json.decode(raw)}
            matches += sum(1 for program in self.programs if program.eval(data=data).plain_value() is True)
        return matches


class WorkB:
    """A stream of (type, key, time)."""

    def __init__(self, _rules: int) -> None:
        self.stream = work_b_events(10**9)
        self.load()

    def load(self) -> None:
        raise NotImplementedError

    def judge(self, chunk: list[tuple[str, str, int]]) -> int:
        raise NotImplementedError

    def chunk(self) -> list[tuple[str, str, int]]:
        return list(islice(self.stream, CHUNK))


class HalonB(WorkB):
    """Opened incidents are closed at once, so that each match shows as one."""

    def load(self) -> None:
        from engine.collector import at_rest, calm
        from engine.core import Core
        from engine.model import Event

        calm()
        with at_rest(settle=True):
            self.core, self.event, self.number = Core(rules_of(WORK_B_RULES)), Event, 0

    def judge(self, chunk: list[tuple[str, str, int]]) -> int:
        fired = 0
        for kind, key, at_us in chunk:
            self.number += 1
            step = self.core.event(self.event(f"e{self.number}", "bench", kind, at_us, key), at_us)
            for incident in step.opened:
                self.core.close(incident.id)
                fired += 1
        self.core.drain_changes()
        return fired


class ReferenceB(WorkB):
    """By hand: what the answer has to be."""

    def load(self) -> None:
        self.reference = WorkBReference()

    def judge(self, chunk: list[tuple[str, str, int]]) -> int:
        before = self.reference.bursts + self.reference.pairs
        for kind, key, at_us in chunk:
            self.reference.feed(kind, key, at_us)
        return self.reference.bursts + self.reference.pairs - before


class DurableB(WorkB):
    """durable-rules has no windows on event time: the joins alone, which asks less of it."""

    def load(self) -> None:
        from durable import lang

        c, m = lang.c, lang.m
        self.lang, self.fired, self.number = lang, 0, 0

        def matched(_: Any) -> None:
            self.fired += 1

        with lang.ruleset("bench"):
            lang.when_all(
                c.first << (m.type == "x"),
                c.second << (m.type == "x") & (m.key == c.first.key),
                c.third << (m.type == "x") & (m.key == c.first.key),
                c.fourth << (m.type == "x") & (m.key == c.first.key),
                c.fifth << (m.type == "x") & (m.key == c.first.key),
            )(matched)
            lang.when_all(c.a << (m.type == "a"), c.b << (m.type == "b") & (m.key == c.a.key))(matched)

    def judge(self, chunk: list[tuple[str, str, int]]) -> int:
        self.fired = 0
        for kind, key, at_us in chunk:
            self.number += 1
            with contextlib.suppress(Exception):
                self.lang.post("bench", {"id": f"e{self.number}", "type": kind, "key": key, "at": at_us})
        return self.fired


WORK_A: dict[str, type[Peer]] = {
    "msgspec decode alone": DecodeOnly,
    "decode + index by hand": HandIndex,
    "Halon's decode + index by hand": HalonDecodeHandIndex,
    "Halon": Halon,
    "durable-rules post(), at most 500 rules": DurableRules,
    "Drools (drools_jpy)": Drools,
    "clipspy": Clips,
    "rule-engine": RuleEngine,
    "CEL, rule by rule": CelRuleByRule,
}
WORK_B: dict[str, type[WorkB]] = {
    "Halon": HalonB,
    "reference by hand": ReferenceB,
    "durable-rules post()": DurableB,
}

"""The shipped rules: each file says what it should do, each type has what it needs, and every name in it is known."""

import re
from itertools import groupby
from pathlib import Path

import msgspec
import pytest
import tomli

from actions.table import CATALOGUE
from engine.model import Mode
from engine.rulefile.rules import AnyOf
from engine.rulefile.taxonomy import TAXONOMY
from engine.ruletest import load_tests, run_test
from tests.support.shipped import ROOT, RULES, filled_site, shipped_rules

FRAMEWORKS = tomli.loads((ROOT / "docs/frameworks.toml").read_text(encoding="utf-8"))
SITE_TESTS = Path(__file__).with_name("site.test.toml")
TESTS, _UNREAD = load_tests([RULES])
IDS = [f"{Path(each.file).name.removesuffix('.test.toml')}-{each.name}" for each in TESTS]
OWN_TYPES = {"source-lost", "source-violation"}
UNASKED = {"file.rotate-token"}
"""Irreversible steps of containment without approval: its reader is handed the new token, so nothing is lost."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    return filled_site(tmp_path_factory.mktemp("site"))


def steps_of(rule, phases=("contain", "investigate", "recover")):
    playbook = shipped_rules().playbooks[rule.playbook] if rule.playbook else None
    return [step for phase in phases for step in getattr(playbook, phase, ())]


def rules_by_type():
    rules = sorted(shipped_rules().rules.values(), key=lambda each: each.incident)
    return {kind: list(each) for kind, each in groupby(rules, key=lambda rule: rule.incident)}


@pytest.mark.parametrize("test", TESTS, ids=IDS)
def test_each_rule_test_passes_without_a_fault(test):
    """What stands beside the rules comes about, and no expression fails on the way."""
    result = run_test(shipped_rules(), test)
    assert result.passed, result.difference
    assert not result.faults


def test_what_hangs_on_the_site_comes_about_where_the_site_is_filled_in(filled):
    """The lists and values of rules/site.toml reach the signals and steps that read them."""
    tests, found = load_tests([SITE_TESTS])
    assert not found
    for test in tests:
        result = run_test(filled, test)
        assert result.passed, (test.name, result.difference)
        assert not result.faults, test.name


def test_each_rule_fires_by_itself_in_some_test_and_each_file_has_quiet_ones(filled):
    """With all other rules taken away, every rule opens its incident on the events of some test."""
    tests = [*TESTS, *load_tests([SITE_TESTS])[0]]
    silent = []
    for rule in filled.rules.values():
        needed = {*rule.when.of.signals, *rule.when.none}
        signals = {name: each for name, each in filled.signals.items() if name in needed}
        alone = msgspec.structs.replace(filled, rules={rule.id: rule}, signals=signals)
        own = [each for each in tests if any(one.incident == rule.incident for one in each.expect)]
        if not any(run_test(alone, each).happened for each in own):
            silent.append(rule.id)
    assert silent == []
    for file, own in groupby(TESTS, key=lambda each: each.file):
        quiet = [each for each in own if not each.expect]
        assert quiet, f"{file} has no test in which nothing happens"


def test_every_type_of_the_taxonomy_has_a_file_with_tests():
    """The folder says when it happens, the file which type it is."""
    files = {path.stem: path for path in RULES.glob("*/*.toml") if not path.name.endswith(".test.toml")}
    assert files.keys() == TAXONOMY.keys() | OWN_TYPES
    assert {path.parent.name for path in files.values()} == {"training", "inference", "operations"}
    assert all(path.with_suffix(".test.toml").is_file() for path in files.values())


@pytest.mark.parametrize("kind", sorted(TAXONOMY))
def test_each_type_has_a_ladder_independent_evidence_and_all_phases(kind):
    """At least three rules of rising severity; evidence of several kinds; containment, investigation and recovery."""
    rules, signals = rules_by_type()[kind], shipped_rules().signals
    assert len(rules) >= 3
    assert len({rule.severity for rule in rules}) >= 2
    heard = {(types := signals[name].on) and (*sorted(types.exact), *types.prefixes)
             for rule in rules for name in rule.when.of.signals}  # fmt: skip
    methods = {
        each.method if (each := signals[name].detect) else "match" for rule in rules for name in rule.when.of.signals
    }
    assert len(heard) >= 2 or len(methods) >= 3, (heard, methods)
    joined = [
        rule
        for rule in rules
        if len(set(rule.when.of.signals)) > 1 and not (isinstance(rule.when.of, AnyOf) and rule.when.of.at_least == 1)
    ]
    assert joined, "no rule asks for two signals"
    phases = [
        phase for phase in ("contain", "investigate", "recover") if any(steps_of(rule, (phase,)) for rule in rules)
    ]
    assert phases == ["contain", "investigate", "recover"]


@pytest.mark.parametrize("rule", shipped_rules().rules.values(), ids=lambda rule: rule.id)
def test_each_rule_tells_people_what_it_is(rule):
    """Title, description, what sets it off wrongly, where to read more; it enforces, and is about a key."""
    assert rule.title
    assert rule.description.endswith(".")
    assert rule.false_positives
    assert rule.references or rule.incident in OWN_TYPES
    assert rule.by
    assert rule.mode is Mode.ENFORCE
    for tag in rule.tags:
        framework, _, id_ = tag.partition(":")
        assert id_ in FRAMEWORKS[framework], f"{tag} is not in docs/frameworks.toml"


def test_references_to_a_technique_are_to_one_of_the_tags():
    """What is linked is what it is tagged with, or the technique above it."""
    for rule in shipped_rules().rules.values():
        for reference in rule.references:
            found = re.fullmatch(r"https://atlas\.mitre\.org/techniques/(AML\.T[\d.]+)", reference)
            if found:
                assert any(tag.startswith(f"atlas:{found[1]}") for tag in rule.tags), (rule.id, reference)


def test_every_type_but_our_own_is_tagged():
    """Each type of the taxonomy stands for at least one technique or risk."""
    for kind in TAXONOMY:
        assert any(rule.tags for rule in rules_by_type()[kind]), kind


def test_what_can_not_be_undone_waits_for_a_person():
    """Irreversible steps ask for approval; a token that its reader is handed anew does not, on two signals."""
    for rule in shipped_rules().rules.values():
        for step in steps_of(rule):
            action = CATALOGUE.actions[step.action]
            if action.reversible or action.target_kind == "evidence" or step.approve:
                continue
            assert step.action in UNASKED, (rule.id, step.action)
            assert len(set(rule.when.of.signals)) > 1, (rule.id, step.action)


def test_steps_do_not_stop_at_each_other_and_recovery_waits():
    """A target that is not there keeps no other step from being taken, and nothing recovers before people say so."""
    for rule in shipped_rules().rules.values():
        for step in steps_of(rule):
            assert step.on_failure.value == "continue", (rule.id, step.action)
        assert all(step.approve for step in steps_of(rule, ("recover",))), rule.id


def test_names_of_the_site_are_told_apart_in_one_file_only():
    """No other file declares lists or values, and each has a description."""
    for path in RULES.rglob("*.toml"):
        table = tomli.loads(path.read_text(encoding="utf-8"))
        if path.name == "site.toml":
            assert set(table) == {"list", "value"}
            assert all(each["description"] for kind in table.values() for each in kind.values())
        else:
            assert not table.keys() & {"list", "value"}, path.name

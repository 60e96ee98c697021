"""Warnings across rules: what is told, and what is left alone."""

import time

import pytest

from tests.support.rules import catalogue
from tests.support.rulesets import check, codes

SIGNALS = """
[signal.a]
on = "t"
by = { run = "event.subject" }
[signal.b]
on = "t"
by = { run = "event.subject" }
[signal.c]
on = "t"
by = { run = "event.subject" }
[rule.uses-all]
incident = "fairness"
severity = "low"
when = { any = ["a", "b", "c"] }
"""


def rule(id_, when, more=""):
    return f'[rule.{id_}]\nincident = "availability"\nseverity = "low"\nwhen = {{ {when} }}\n{more}\n'


PLAYBOOKS = """
[playbook.delete]
contain = [{ do = "file.delete", path = "x" }]
[playbook.approved]
contain = [{ do = "file.delete", path = "x", approve = true }]
[playbook.suspend]
contain = [{ do = "slurm.suspend", job = "1" }]
[playbook.resume]
contain = [{ do = "slurm.resume", job = "1" }]
[playbook.come-back]
contain = [{ do = "slurm.suspend", job = "1" }]
recover = [{ do = "slurm.resume", job = "1" }]
"""


@pytest.mark.parametrize(
    ("first", "second", "shadowed"),
    [
        (("any = ['a']",), ("all = ['a']",), True),
        (("any = ['a', 'b']",), ("any = ['a']",), True),
        (("any = ['a']",), ("any = ['a', 'b']",), True),
        (("any = ['a']",), ("any = ['b']",), False),
        (("any = ['a', 'b'], at_least = 2, within = '1m'",), ("all = ['a', 'b'], within = '1m'",), True),
        (("any = ['a', 'b'], at_least = 2, within = '1m'",), ("all = ['a', 'b'], within = '5m'",), False),
        (("all = ['a', 'b'], within = '1m'",), ("sequence = ['b', 'a', 'c'], within = '1m'",), True),
        (("all = ['a', 'b'], within = '1m'",), ("all = ['a', 'c'], within = '1m'",), False),
        (("sequence = ['a', 'b'], within = '1m'",), ("sequence = ['b', 'a'], within = '1m'",), False),
        (("all = ['a'], none = ['b'], within = '1m'",), ("all = ['a', 'c'], within = '1m'",), False),
        (("sequence = ['a', 'a'], within = '1m'", "playbook = 'approved'"), ("any = ['a']",), False),
        (("all = ['a']", "by = ['run']"), ("all = ['a']",), False),
        (("all = ['a']", "mode = 'observe'"), ("all = ['a'], corroborate = 2",), False),
        (("all = ['a']",), ("all = ['a'], corroborate = 2", "playbook = 'approved'"), False),
        (("all = ['a']", "playbook = 'approved'"), ("all = ['a'], corroborate = 2",), True),
    ],
)
def test_a_rule_that_adds_nothing_is_told(first, second, shadowed):
    """Same incident, same keys, no more severe, no other playbook, and fires only when the other does."""
    text = SIGNALS + PLAYBOOKS + rule("one", *first) + rule("two", *second)
    assert ("H106" in codes(text)) is shadowed


@pytest.mark.parametrize(
    ("when", "more", "told"),
    [
        ("any = ['a']", "playbook = 'delete'", True),
        ("any = ['a'], corroborate = 2", "playbook = 'delete'", False),
        ("all = ['a', 'b'], within = '1m'", "playbook = 'delete'", False),
        ("any = ['a', 'b']", "playbook = 'delete'", True),
        ("any = ['a']", "playbook = 'delete'\nmode = 'observe'", False),
        ("any = ['a']", "playbook = 'approved'", False),
        ("any = ['a']", "playbook = 'suspend'", False),
    ],
)
def test_an_irreversible_step_wants_a_second_word(when, more, told):
    """Approval, a second signal or a second source; observing rules and reversible steps are left alone."""
    assert ("H108" in codes(SIGNALS + PLAYBOOKS + rule("r", when, more))) is told


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("all = ['a', 'b']", True),
        ("all = ['a']", False),
        ("any = ['a', 'b']", False),
        ("any = ['a', 'b'], at_least = 2", True),
        ("sequence = ['a', 'a']", True),
        ("all = ['a', 'b'], within = '1m'", False),
        ("all = ['a'], none = ['b']", True),
        ("all = ['a'], none = ['b'], wait = '1m'", False),
    ],
)
def test_joins_want_a_limit_of_time(when, told):
    """Where more than one time takes part, `within` is asked for."""
    assert ("H107" in codes(SIGNALS + rule("r", when))) is told


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("all = ['a', 'b'], none = ['b'], within = '1m'", True),
        ("any = ['a', 'b'], none = ['b'], within = '1m'", False),
        ("any = ['a', 'b'], at_least = 2, none = ['b'], within = '1m'", True),
        ("sequence = ['a', 'c'], none = ['b'], within = '1m'", False),
    ],
)
def test_a_rule_that_voids_itself_is_told(when, told):
    """A needed signal that stands under `none` too; one of several that is not needed is left alone."""
    assert ("H105" in codes(SIGNALS + rule("r", when))) is told


def test_contradictions_are_of_containment_and_between_playbooks():
    """Undoing in `recover` what `contain` did is what recovery is."""
    one, two = rule("one", "any = ['a']", "playbook = 'suspend'"), rule("two", "any = ['b']", "playbook = 'resume'")
    assert "H110" in codes(SIGNALS + PLAYBOOKS + one + two)
    assert "H110" not in codes(SIGNALS + PLAYBOOKS + one + two.replace("'resume'", "'come-back'"))


def heard(id_, on, playbook, more=""):
    """A signal and its rule, whose playbook acts on it."""
    signal = f'[signal.{id_}]\non = "{on}"\nby = {{ run = "event.subject" }}\n'
    return signal + rule(id_, f"any = ['{id_}']", f"playbook = '{playbook}'\n{more}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (heard("x", "training.step", "resume"), [("H109", "x")]),
        (heard("x", "training.*", "resume"), [("H109", "x")]),
        (heard("x", "other.step", "resume"), []),
        (heard("x", "training.step", "resume", "mode = 'observe'"), []),
        (heard("x", "training.step", "suspend"), []),
        (heard("x", "other.step", "resume") + heard("y", "training.step", "suspend"), []),
        (heard("x", "gate.open", "resume") + heard("y", "training.step", "publish"), [("H109", "x"), ("H109", "y")]),
        (heard("x", "gate.open", "resume") + heard("y", "training.step", "publish", "mode = 'observe'"), []),
    ],
)
def test_loops_are_told_also_by_way_of_other_rules(text, told):
    """An action that sets its own rule off again, at once or through another rule; observing rules end a loop."""
    publish = '[playbook.publish]\ncontain = [{ do = "gate.publish", job = "1" }]\n'
    found = [each for each in check(PLAYBOOKS + publish + text)[1] if each.code == "H109"]
    assert [(each.code, each.title.split(" rule `")[1][0]) for each in found] == told


def test_many_rules_are_compared_in_bounded_time():
    """A thousand rules on one signal take seconds, not minutes."""
    text = SIGNALS + "".join(rule(f"r{n}", f"any = ['a', 'b'], corroborate = {n + 1}") for n in range(1_000))
    start = time.perf_counter()
    _, found = check(text)
    assert sum(each.code == "H106" for each in found) == 999
    assert time.perf_counter() - start < 20


def test_shipped_actions_oppose_actions_that_exist():
    """What a shipped action says it works against is a shipped action on the same kind of target; some do."""
    shipped = catalogue().actions
    pairs = [(each.name, other) for each in shipped.values() for other in each.opposes]
    assert {("process.kill", "process.freeze"), ("model.quarantine", "model.restore")} <= set(pairs)
    for one, other in pairs:
        assert other in shipped, f"{one} opposes {other}, which is not there"
        assert shipped[one].target_kind == shipped[other].target_kind

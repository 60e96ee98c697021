"""`[rule.ID]` tables, beyond the golden cases."""

import pytest

from engine.rulefile.rules import All, AnyOf
from tests.support.rulesets import codes, sound

SIGNALS = """
[signal.a]
on = "t"
by = { run = "event.subject", model = "event.data.m" }
[signal.b]
on = "t"
by = { run = "event.subject" }
[signal.c]
on = "t"
"""


def rule(when, more=""):
    return f'{SIGNALS}[rule.r]\nincident = "availability"\nseverity = "low"\nwhen = {{ {when} }}\n{more}\n'


@pytest.mark.parametrize(
    ("when", "more", "expected"),
    [
        ('all = ["a", "b"], within = "1m"', 'by = ["run"]', []),
        ('all = ["a", "b"], within = "1m"', 'by = ["model"]', ["H040"]),
        ('all = ["a"], none = ["c"], within = "1m"', 'by = ["run"]', ["H040"]),
        ('any = ["a", "b"], at_least = 2, within = "1m"', "", []),
        ('any = ["a", "b"], at_least = 3', "", ["H043"]),
        ('any = ["a", "a"], at_least = 2', "", ["H043"]),
        ('any = ["a"], at_least = 0', "", ["H007"]),
        ('all = ["a"], at_least = 1', "", ["H044"]),
        ('sequence = ["a", "b", "a"], within = "1m"', "", []),
        ("sequence = []", "", ["H042"]),
        ('all = ["a"], none = ["b"], wait = "1m"', "", []),
        ('all = ["a"], wait = "1m"', "", ["H044"]),
        ('none = ["a"]', "", ["H041"]),
        ('all = ["a"], corroborate = 0', "", ["H007"]),
        ('all = ["x", "y"], none = ["z"]', "", ["H011", "H011", "H011"]),
        ('all = ["a"]', 'playbook = "p"', ["H013"]),
        ('all = ["a"]', "playbook = 3", ["H006"]),
        ('all = ["a"]', 'mode = "off"', ["H007"]),
    ],
)
def test_what_a_join_needs_is_checked(when, more, expected):
    """Keys, counts, and the keys of `when` that need each other."""
    warnings = {"H101", "H105", "H107"}
    assert [code for code in codes(rule(when, more)) if code not in warnings] == expected


def test_a_signal_named_twice_counts_once_but_in_a_sequence():
    """Names of `all` and `any` are a set."""
    assert sound(rule('all = ["a", "b", "a"], within = "1m"')).rules["r"].when.of == All(("a", "b"))
    assert sound(rule('any = ["a", "b", "a"]')).rules["r"].when.of == AnyOf(("a", "b"))


def test_a_rule_with_a_broken_signal_is_not_reported_for_it():
    """One mistake is one finding: the signal's."""
    assert codes(
        rule('all = ["a", "b"], within = "1m"').replace('by = { run = "event.subject" }', 'by = { run = "x" }', 1)
    ) == ["H021"]

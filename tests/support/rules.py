"""Rule text to a checked RuleSet by the real loader and the real tables, for tests of the core."""

from functools import lru_cache

from actions.table import load_catalogue
from engine.detectors.table import DETECTORS
from engine.diagnostics import has_errors, render
from engine.rulefile.load import check_files
from engine.tomlfile import TomlFile, parse_toml

RULES_OF_ONE = """
[signal.s]
on = 't'
by = { k = 'event.subject' }
[rule.r]
incident = 'fairness'
severity = 'low'
by = ['k']
when = { any = ['s'] }
"""
"""A signal for every event of type `t`, and an incident for each of its keys."""


@lru_cache(maxsize=1)
def catalogue():
    """The shipped actions."""
    return load_catalogue().catalogue


def rules_of(text, actions=None):
    """The rule set that the text spells; fails with the rendered diagnostics where it is wrong."""
    file = parse_toml(text.encode(), "rules.toml")
    assert isinstance(file, TomlFile), render([file])
    rules, found = check_files([file], catalogue=actions or catalogue(), detectors=DETECTORS)
    assert not has_errors(found), render(found)
    assert rules is not None
    return rules

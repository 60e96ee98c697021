"""Rows of state under rules: which open, which begin anew, which can't be read."""

import msgspec

from engine.staterows import report
from tests.support.rules import rules_of
from tests.support.timeline import Timeline

RULES = """
[signal.s]
on = 't'
by = { k = 'event.subject' }
detect = { method = 'count', at_least = 2, within = '1h' }
[signal.other]
on = 'u'
by = { k = 'event.subject' }
[rule.r]
incident = 'fairness'
severity = 'low'
by = ['k']
when = { all = ['s', 'other'] }
[rule.at-once]
incident = 'availability'
severity = 'low'
by = ['k']
when = { any = ['other'] }
"""


def rows():
    """A window, a partial match and an open incident."""
    at = Timeline(RULES)
    at(0).event("t", subject="a").event("u", subject="a")
    found = at.core.drain_changes()
    assert sorted(each.owner for each in found) == ["incident:availability", "r", "s"]
    return found


def test_rows_of_these_rules_all_open():
    """Each kind of them."""
    found = report(rows(), rules_of(RULES))
    assert (found.rows, found.anew, found.unreadable) == (3, (), ())


def test_rows_of_other_rules_and_versions_begin_anew():
    """Said by owner; open incidents stay whatever the rules."""
    other = RULES.replace("at_least = 2", "at_least = 3").replace("severity = 'low'", "severity = 'high'")
    found = report(rows(), rules_of(other))
    assert found.unreadable == ()
    assert "1 of s: of other rules" in found.anew
    newer = [msgspec.structs.replace(each, version=9_999) for each in rows()]
    assert len(report(newer, rules_of(RULES)).anew) == 3


def test_rows_that_can_not_be_read_are_named():
    """By owner, with the first key."""
    bad = [msgspec.structs.replace(each, state=b"\xc1") for each in rows()]
    found = report(bad, rules_of(RULES))
    assert len(found.unreadable) == 3
    assert any(each.startswith("1 of s, the first is k=a: ") for each in found.unreadable)

"""Digests: state survives a reload exactly where it still means the same."""

import pytest

from engine.rulefile.digests import digest
from tests.support.rulesets import WHOLE_LANGUAGE, sound


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('description = "the loss jumps"', 'description = "x"', set()),
        ('severity = "critical"', 'severity = "high"', set()),
        ('title = "Poisoned"', "", set()),
        ('"event.data.step > 100"', '"event.data.step > 101"', {"loss-spike", "data-poisoning", "either", "ordered"}),
        ("above = 8.0", "above = 9.0", {"loss-spike", "data-poisoning", "either", "ordered"}),
        ('["run-7", "run-8"]', '["run-7"]', {"label-flips", "data-poisoning", "either", "ordered"}),
        ('within = "10m"', 'within = "11m"', {"data-poisoning"}),
        ('within = "1d"', 'within = "2d"', {"ordered"}),
        ('by = ["run"]', "", {"data-poisoning"}),
        ('values = ["run-7", "run-8"]\n', 'values = ["run-7", "run-8"] # x\n', set()),
    ],
)
def test_digests_change_with_what_state_means(old, new, changed):
    """State survives a reload unless the table, a list it names or a signal it uses means something else."""
    assert WHOLE_LANGUAGE.count(old) >= 1
    before, after = sound(WHOLE_LANGUAGE), sound(WHOLE_LANGUAGE.replace(old, new, 1))
    digests = [
        {each.id: each.digest for each in (*rules.signals.values(), *rules.rules.values())} for rules in (before, after)
    ]
    assert {name for name in digests[0] if digests[0][name] != digests[1][name]} == changed


def test_a_digest_does_not_depend_on_the_order_of_keys():
    """Moving a line changes nothing; a value does."""
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_a_value_is_part_of_what_a_signal_means():
    """State begins anew where a value that the signal names is another one, in a condition or a parameter."""
    text = """
[value.least]
value = 3
[value.other]
value = 1
[signal.a]
on = "t"
where = "event.data.x > value.least"
[signal.b]
on = "t"
detect = { method = "count", at_least = "${value.least}", within = "5m" }
[signal.c]
on = "t"
where = "event.data.x > value.other"
"""
    before, after = sound(text), sound(text.replace("value = 3", "value = 4"))
    changed = {name for name in before.signals if before.signals[name].digest != after.signals[name].digest}
    assert changed == {"a", "b"}

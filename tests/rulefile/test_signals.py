"""`[signal.ID]` tables, beyond the golden cases."""

import pytest

from engine.detectors.table import DETECTORS as SHIPPED
from engine.diagnostics import has_errors, render
from engine.rulefile.load import check_files
from engine.tomlfile import parse_toml
from tests.support.rulesets import CATALOGUE, codes, sound

HEAD = '[signal.a]\non = "t"\n'


def test_event_types_are_names_and_prefixes():
    """A prefix hears what begins with it, dot included; a name hears itself."""
    on = sound('[signal.a]\non = ["training.step", "data.*"]\n').signals["a"].on
    heard = ["training.step", "training.stepper", "data.x", "data.x.y", "data", "database"]
    assert [name for name in heard if on.match(name)] == ["training.step", "data.x", "data.x.y"]


@pytest.mark.parametrize("event_type", ["", " ", "*", ".*x", "a*", "a.*.b", "a b", "a" * 300])
def test_other_event_types_are_refused(event_type):
    """Only the last part may be a star."""
    assert "H030" in codes(f'[signal.a]\non = "{event_type}"\n')


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('detect = { method = "mean", above = 1.0 }', ["H031"]),
        ('value = "1.0"\ndetect = { method = "mean", above = 1.0 }', []),
        ('value = "\'x\'"\ndetect = { method = "mean", above = 1.0 }', ["H022"]),
        ('detect = { method = "distinct", at_least = 2 }', ["H032"]),
        ('detect = { method = "distinct", of = "event.data", at_least = 2 }', []),
        ('detect = { method = "ratio", of = "1", at_least = 0.5 }', ["H022"]),
        ('detect = { method = "ratio", of = "event.data.x", at_least = 1.5 }', ["H007"]),
        ('detect = { method = "count", at_least = 0, within = "1m" }', ["H007"]),
        ('detect = { method = "count", at_least = "2", within = 60 }', ["H006", "H006"]),
        ('detect = { method = "absence", for = "1m" }', []),
        ('for = "1m"\ndetect = { method = "absence", for = "1m" }', ["H034"]),
        ('for = "1m"\ndetect = { method = "count", at_least = 2, within = "1m" }', ["H034"]),
        ('detect = "count"', ["H006"]),
        ("detect = {}", ["H005"]),
        ("by = { " + ", ".join(f'k{n} = "event.id"' for n in range(9)) + " }", ["H003"]),
    ],
)
def test_what_a_method_needs_is_checked(lines, expected):
    """`value`, `of`, `for` and the parameters against the method."""
    assert [code for code in codes(f"{HEAD}{lines}\n") if code != "H101"] == expected


NAMED = """
[value.limits]
value = { hot = 85, times = 3 }
[value.window]
value = "5m"
[value.hashes]
value = { a = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c" }
[list.canaries]
values = ["violet-anchor-7"]
[signal.hot]
on = "t"
value = "event.data.x"
detect = { method = "threshold", above = "${value.limits.hot + 5}", consecutive = "${value.limits.times}" }
[signal.slow]
on = "t"
value = "event.data.x"
detect = { method = "mean", above = 1, within = "${value.window}" }
[signal.leak]
on = "t"
detect = { method = "canary", of = "event.data.x", canaries = "${list.canaries}" }
[signal.changed]
on = "t"
detect = { method = "hash", of = "event.data", manifest = "${value.hashes}" }
"""


def test_parameters_of_methods_may_be_named_values():
    """A number, a duration, a list and a table stand in the parameters as if they had been written there."""
    rules, found = check_files([parse_toml(NAMED.encode(), "a.toml")], catalogue=CATALOGUE, detectors=SHIPPED)
    assert not has_errors(found), render(found)
    params = {name: signal.detect.params for name, signal in rules.signals.items()}
    assert (params["hot"].above, params["hot"].consecutive) == (90, 3)
    assert params["slow"].within == 300_000_000
    assert params["leak"].canaries == ("violet-anchor-7",)
    assert list(params["changed"].manifest) == ["a"]

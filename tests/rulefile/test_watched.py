"""`watched` of a signal, beyond the golden case."""

import pytest

from engine.detectors.table import DETECTORS
from engine.diagnostics import has_errors, render
from engine.rulefile.load import check_files
from engine.tomlfile import parse_toml
from tests.support.plugins import CATALOGUE
from tests.support.rulesets import codes, sound

HEAD = '[signal.a]\non = "t"\n'
WATCHED = 'value = "event.data.x"\ndetect = {{ method = "mean", above = 9.0, below = 1.0 }}\nwatched = {}\n'


def test_watched_takes_the_other_parameters_from_detect():
    """What it does not name stays, `of` too."""
    signal = sound(HEAD + WATCHED.format("{ above = 4.0 }")).signals["a"]
    assert (signal.detect.params.above, signal.watched.params.above) == (9.0, 4.0)
    assert signal.watched.params.below == 1.0
    distinct = 'detect = { method = "distinct", of = "event.data.x", at_least = 9 }\nwatched = { at_least = 2 }\n'
    signal = sound(HEAD + distinct).signals["a"]
    assert signal.watched.of is signal.detect.of


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("{}", ["H036"]),
        ("{ abov = 1.0 }", ["H004"]),
        ("{ above = 'x' }", ["H006"]),
        ("{ method = 'sum' }", ["H004"]),
        ("{ of = 'event.data.x' }", ["H004"]),
        ("1", ["H006"]),
    ],
)
def test_watched_names_parameters_of_the_method_only(table, expected):
    """Anything else is an error at its place."""
    assert [code for code in codes(HEAD + WATCHED.format(table)) if code != "H101"] == expected


def test_watched_is_part_of_what_a_signal_means():
    """Changed, it makes the signal's windows begin anew."""
    digests = {sound(HEAD + WATCHED.format(f"{{ above = {each} }}")).signals["a"].digest for each in ("4.0", "5.0")}
    assert len(digests) == 2


def test_named_values_stand_in_watched_too():
    """As in `detect`."""
    text = """
[value.usual]
value = 90
[value.close]
value = 70
[signal.hot]
on = "t"
value = "event.data.x"
detect = { method = "threshold", above = "${value.usual}", consecutive = 2 }
watched = { above = "${value.close - 5}" }
"""
    rules, found = check_files([parse_toml(text.encode(), "a.toml")], catalogue=CATALOGUE, detectors=DETECTORS)
    assert not has_errors(found), render(found)
    signal = rules.signals["hot"]
    assert (signal.detect.params.above, signal.watched.params.above) == (90, 65)
    assert signal.watched.params.consecutive == 2

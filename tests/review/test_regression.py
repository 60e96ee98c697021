"""An incident to a rule test that the rules really pass, and a false positive to one that they must learn to pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import SECOND_US
from engine.model import Event
from engine.review.regression import NoTest, _text, make_test, passes
from engine.ruletest import parse_tests
from engine.tomlfile import TomlFile, parse_toml
from tests.support.reviewed import RULES, close, reviewed, sick
from tests.support.rules import rules_of


def test_an_incident_becomes_a_test_that_fires(tmp_path):
    """At the same offset, with the same key, rule and steps; the text is read by the loader of rule tests."""
    review, rules, incident = reviewed(tmp_path)
    made = make_test(review, rules, quiet=False)
    assert made.name == f"{incident}-performance-anomaly-is-found"
    assert 'key = { model = "m-1" }' in made.text
    assert 'contain = ["haproxy.drain"]' in made.text
    assert passes(made, rules).passed
    file = parse_toml(made.text.encode(), "x.test.toml")
    assert isinstance(file, TomlFile)
    (test,), found = parse_tests(file)
    assert found == []
    assert len(test.events) == len(sick())


def test_a_rule_that_no_longer_finds_it_fails_the_test(tmp_path):
    """That is what the test is for."""
    review, rules, _ = reviewed(tmp_path)
    made = make_test(review, rules, quiet=False)
    blunt = rules_of(RULES.replace("above = 500", "above = 5000"))
    assert not passes(made, blunt).passed


def test_a_false_positive_becomes_a_test_that_is_quiet(tmp_path):
    """The rules fail it as they are, and pass it once they leave such events alone."""
    review, rules, _ = reviewed(tmp_path, move=close("false-positive"))
    made = make_test(review, rules, quiet=True)
    assert made.name.endswith("-is-left-alone")
    assert made.text.rstrip().endswith("expect = []")
    assert not passes(made, rules).passed
    assert passes(made, rules_of(RULES.replace("above = 500", "above = 5000"))).passed


def test_what_was_not_recorded_makes_no_test(tmp_path):
    """Nothing recorded, or too little for the rule to fire again: said, and nothing written."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    review, rules, _ = reviewed(tmp_path / "a", recorded=[])
    with pytest.raises(NoTest, match="no events were recorded"):
        make_test(review, rules, quiet=False)
    review, rules, _ = reviewed(tmp_path / "b", recorded=sick()[-1:])
    with pytest.raises(NoTest, match="do not open it anew"):
        make_test(review, rules, quiet=False)


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    data=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    names=st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12), min_size=3, max_size=3),
    micros=st.integers(0, 10**12),
)
def test_any_event_is_read_back_as_it_was(data, names, micros):
    """Whatever JSON it holds, whatever characters its names have (nulls apart, which TOML has not)."""
    event = Event(id=names[0], source=names[1], type=names[2], time_us=10**15 + micros, subject=names[0], data=data)
    file = parse_toml(_text("x", [Event("e", "s", "t", 10**15), event], []).encode("utf-8", "surrogatepass"), "x")
    if not isinstance(file, TomlFile):
        assert any("\ud800" <= char <= "\udfff" for char in repr(data))
        return
    (test,), found = parse_tests(file)
    assert found == []
    given_event = test.events[1]
    assert (given_event.id, given_event.source, given_event.type, given_event.data) == (*names, data)
    assert given_event.at == (10**15 + micros) - 10**15 // SECOND_US * SECOND_US

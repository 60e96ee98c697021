"""engine.model: identities that are the same live, replayed and after a crash."""

import msgspec
import pytest

from engine.model import (
    Applied,
    Event,
    Failed,
    IncidentId,
    IncidentType,
    IntentState,
    Outcome,
    Phase,
    Severity,
    Target,
    format_key,
    incident_id,
    intent_id,
    lease_id,
    make_key,
)


def test_a_key_does_not_depend_on_the_order_of_its_names():
    """Two spellings of one key are equal, hashable, and printed alike."""
    assert make_key({"b": "2", "a": "1"}) == make_key({"a": "1", "b": "2"}) == (("a", "1"), ("b", "2"))
    assert format_key(make_key({"b": "2", "a": "1"})) == "a=1 b=2"
    assert format_key(()) == "(all)"


def test_ids_are_functions_of_what_they_name():
    """The same incident, step or lease has the same id every time; another one has another."""
    kind, key = IncidentType("data-poisoning"), make_key({"run": "r"})
    first = incident_id(kind, key, "evt-1")
    assert first == incident_id(kind, key, "evt-1") != incident_id(kind, key, "evt-2")
    assert intent_id(first, Phase.CONTAIN, 0, "a") == intent_id(first, Phase.CONTAIN, 0, "a")
    ids = {intent_id(first, phase, step, "a") for phase in Phase for step in range(3)}
    assert len(ids) == 9
    assert lease_id("a", Target(kind="k", name="n")) == lease_id("a", Target(kind="k", name="n", labels={"x": "y"}))
    assert lease_id("a", Target(kind="k", name="n")) != lease_id("b", Target(kind="k", name="n"))


def test_a_lone_surrogate_in_a_key_does_not_break_its_id():
    """Subjects come from outside; whatever text JSON can carry has an id."""
    assert incident_id(IncidentType("x"), (("a", "\ud800"),), "\udfff").startswith("inc-")


def test_severities_are_ordered():
    """critical outranks high, and so on down."""
    assert [each.name for each in sorted(Severity, key=lambda s: s.rank)] == ["LOW", "MEDIUM", "HIGH", "CRITICAL"]


def test_only_states_with_nothing_left_to_do_are_settled():
    """An intent that is intended, under way or held is not settled; every other state is."""
    open_states = {IntentState.INTENDED, IntentState.APPLYING, IntentState.APPLIED, IntentState.HELD}
    assert {state for state in IntentState if not state.settled} == open_states


def test_structs_are_frozen_and_refuse_unknown_fields():
    """A misspelt field is an error at decoding, never dropped."""
    event = Event(id="1", source="s", type="t", time_us=0)
    with pytest.raises(AttributeError):
        event.id = "2"
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"id":"1","source":"s","type":"t","time_us":0,"sbject":"x"}', type=Event)


@pytest.mark.parametrize("outcome", [Applied(receipt={"pid": 1}), Failed(error="refused", retryable=True)])
def test_an_outcome_survives_json_with_its_case(outcome):
    """The closed union is tagged, so that a failure never reads back as a success."""
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome


def test_an_incident_id_is_readable_and_short():
    """`inc-` and twelve hexadecimal digits: short enough to type."""
    one = incident_id(IncidentType("x"), (), "e")
    assert len(one) == 16
    assert IncidentId(one) == one

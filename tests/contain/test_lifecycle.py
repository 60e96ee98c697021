"""Where an incident goes by itself and by a person's word, as a table: pure functions of its stage and its steps."""

import pytest

from engine.contain import lifecycle
from engine.model import IncidentState, IntentState, OnFailure, Phase
from engine.store.incidents import Stage
from engine.store.intents import Hold, Progress

PHASES = {"c": Phase.CONTAIN, "i": Phase.INVESTIGATE, "r": Phase.RECOVER}


def stage(state="open", acked="", steps_from=(0, 0, 0)):
    """A stage."""
    return Stage(state=IncidentState(state), acked_by=acked, steps_from=steps_from)


def steps(text):
    """`c:verified i:failed/continue c:verified/lost`: steps in order, each phase counted from 0."""
    made, counts = [], dict.fromkeys(PHASES, 0)
    for each in text.split():
        phase, _, rest = each.partition(":")
        state, _, more = rest.partition("/")
        on_failure = OnFailure(more) if more in set(OnFailure) else OnFailure.STOP
        made.append(
            Progress(PHASES[phase], counts[phase], "act", IntentState(state), on_failure, in_force=more != "lost")
        )
        counts[phase] += 1
    return made


@pytest.mark.parametrize(
    ("state", "told", "to"),
    [
        ("open", "", None),
        ("open", "c:verified", "contained"),
        ("open", "c:verified c:verified", "contained"),
        ("open", "c:verified c:skipped", "contained"),
        ("open", "c:skipped", None),
        ("open", "c:verified c:failed/continue", None),
        ("open", "c:verified c:unverified", None),
        ("open", "c:verified c:held", None),
        ("open", "c:verified c:undone", None),
        ("open", "c:observed", None),
        ("open", "c:verified/lost", None),
        ("open", "i:verified r:verified", None),
        ("contained", "c:verified", None),
        ("contained", "c:verified i:intended", None),
        ("contained", "c:verified i:held", None),
        ("contained", "c:verified i:observed", None),
        ("contained", "c:verified i:applying", "investigating"),
        ("contained", "c:verified i:failed", "investigating"),
        ("contained", "c:verified i:skipped r:applying", "recovering"),
        ("investigating", "c:verified i:verified", None),
        ("investigating", "c:verified i:verified r:held", None),
        ("investigating", "c:verified i:verified r:applying", "recovering"),
        ("recovering", "c:verified i:verified r:verified", None),
        ("closed", "c:verified i:applying", None),
    ],
)
def test_the_state_follows_from_what_became_of_the_steps(state, told, to):
    """One transition at a time; what is not read back is not contained."""
    found = lifecycle.next_transition(stage(state), steps(told))
    assert (None if found is None else found.to.value) == to


def test_who_acknowledged_it_before_it_was_contained_investigates_it_then():
    """It waits for the containment, and says who."""
    assert lifecycle.next_transition(stage("open", acked="ann"), steps("c:applying")) is None
    found = lifecycle.next_transition(stage("contained", acked="ann"), steps("c:verified"))
    assert (found.to, found.reason) == (IncidentState.INVESTIGATING, "ann looks after it")


def test_steps_of_an_earlier_life_count_for_nothing():
    """Reopened, an incident is not contained by what was done before, nor kept open by what failed then."""
    again = stage("open", steps_from=(1, 0, 0))
    assert lifecycle.next_transition(again, steps("c:verified")) is None
    assert lifecycle.next_transition(again, steps("c:failed c:verified")).to is IncidentState.CONTAINED


@pytest.mark.parametrize(
    ("state", "told", "hold"),
    [
        ("open", "r:intended", None),
        ("open", "c:held r:intended", Hold.CONTAINMENT),
        ("open", "c:skipped r:intended", None),
        ("contained", "c:verified r:intended", None),
        ("contained", "c:verified i:held r:intended", Hold.INVESTIGATION),
        ("investigating", "c:verified i:applying r:intended", Hold.INVESTIGATION),
        ("investigating", "c:verified i:failed r:intended", Hold.INVESTIGATION),
        ("investigating", "c:verified i:failed/continue r:intended", None),
        ("investigating", "c:verified i:verified i:observed r:intended", None),
        ("recovering", "c:verified i:failed r:intended", None),
        ("closed", "c:held r:intended", None),
    ],
)
def test_nothing_is_recovered_before_it_is_contained_and_investigated(state, told, hold):
    """Unless a person has said that it recovers."""
    found = lifecycle.recovery_waits(stage(state), steps(told))
    assert (None if found is None else found.hold) is hold


@pytest.mark.parametrize(
    ("state", "told", "recovered"),
    [
        ("recovering", "r:verified r:skipped", True),
        ("recovering", "r:verified r:failed/continue", False),
        ("recovering", "r:verified r:held", False),
        ("recovering", "r:skipped", False),
        ("recovering", "", False),
        ("investigating", "r:verified", False),
    ],
)
def test_recovered_is_what_was_read_back_too(state, told, recovered):
    """Every recover step, and at least one."""
    assert lifecycle.is_recovered(stage(state), steps(told)) is recovered


@pytest.mark.parametrize(
    ("state", "to", "reason", "objection"),
    [
        ("open", "investigating", "", "say why"),
        ("open", "investigating", "pulled the plug", None),
        ("open", "contained", "pulled the plug", "what Halon read back"),
        ("contained", "investigating", "", None),
        ("contained", "recovering", "", None),
        ("contained", "open", "", "by itself"),
        ("investigating", "recovering", "", None),
        ("investigating", "investigating", "", "investigating already"),
        ("recovering", "investigating", "", None),
        ("recovering", "closed", "", "halon incidents close"),
        ("closed", "investigating", "", "halon incidents reopen"),
    ],
)
def test_a_person_moves_it_on_where_that_is_true(state, to, reason, objection):
    """What is refused says what to do instead."""
    found = lifecycle.objection(IncidentState(state), IncidentState(to), reason=reason)
    assert (found is None) is (objection is None)
    assert objection is None or objection in found


def test_what_follows_each_state():
    """Where `advance` goes if it is not told."""
    assert {each: lifecycle.following(each) for each in IncidentState} == {
        IncidentState.OPEN: IncidentState.INVESTIGATING,
        IncidentState.CONTAINED: IncidentState.INVESTIGATING,
        IncidentState.INVESTIGATING: IncidentState.RECOVERING,
        IncidentState.RECOVERING: None,
        IncidentState.CLOSED: None,
    }

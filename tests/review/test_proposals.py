"""What an incident asks for: each proposal is derived from something that happened, and only from that."""

import msgspec
import pytest

from engine.model import IntentState, Mode, Phase
from engine.operate.shown import Related, Station
from engine.review.proposals import Area, propose
from tests.support.reviewed import close, miss, reviewed


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A review in which nothing went wrong but that its evidence had one source and no way back was planned."""
    return reviewed(tmp_path_factory.mktemp("plain"))[0]


def step(review, place, **changes):
    """The review with one step changed."""
    steps = tuple(
        msgspec.structs.replace(each, **changes) if each.place == place else each for each in review.detail.steps
    )
    return msgspec.structs.replace(review, detail=msgspec.structs.replace(review.detail, steps=steps))


def row(review, **changes):
    """The review with its incident changed."""
    incident = msgspec.structs.replace(review.detail.incident, **changes)
    return msgspec.structs.replace(review, detail=msgspec.structs.replace(review.detail, incident=incident))


def said(review):
    return {(each.area, each.because) for each in propose(review)}


def test_what_went_well_asks_for_nothing(plain):
    """Only what is really so: one source, and no recover steps."""
    assert {each.area for each in propose(plain)} == {Area.DETECTION, Area.RECOVERY}
    assert all(each.do and each.because for each in propose(plain))


@pytest.mark.parametrize(
    ("changed", "area", "because"),
    [
        (lambda r: step(r, "contain.0", state=IntentState.FAILED, reason="503"), Area.PLAYBOOKS, "failed: 503"),
        (lambda r: step(r, "contain.0", state=IntentState.UNVERIFIED, reason="no answer"), Area.PLAYBOOKS, "no answer"),
        (lambda r: step(r, "contain.0", state=IntentState.REFUSED, reason="protected"), Area.POLICIES, "was refused"),
        (
            lambda r: step(r, "contain.0", state=IntentState.REFUSED, reason="nobody approved it within 15m"),
            Area.TRAINING,
            "waited for a person",
        ),
        (
            lambda r: step(r, "contain.0", state=IntentState.HELD, waits_for="budget", reason="3 are held"),
            Area.POLICIES,
            "is held: 3 are held",
        ),
        (lambda r: row(r, resolution="false-positive"), Area.DETECTION, "closed as a false positive"),
        (lambda r: row(r, mode=Mode.OBSERVE), Area.POLICIES, "only looked on"),
        (lambda r: msgspec.structs.replace(r, recorded=None), Area.GUIDELINES, "no events were recorded"),
    ],
)  # fmt: skip
def test_each_thing_that_went_wrong_asks_for_its_change(plain, changed, area, because):
    """It is asked for where it happened, and not where it did not."""
    assert any(found is area and because in why for found, why in said(changed(plain)))
    assert not any(because in why for _, why in said(plain))


def test_slow_containment_names_the_station_that_took_longest(plain):
    """From event to verified in 45 s, 40 of them while it was applied."""
    began = plain.detail.incident.opened
    passed = {"event": 0.0, "received": 10.0, "applying": 5_000.0, "applied": 45_000.0, "verified": 45_100.0}
    stations = tuple(Station(name=name, at=began, after_ms=ms) for name, ms in passed.items())
    found = propose(step(plain, "contain.0", stations=stations, state=IntentState.VERIFIED))
    slow = next(each for each in found if each.area is Area.PROCEDURES)
    assert "between applying and applied" in slow.do
    assert "45 s after its event" in slow.because


def test_an_event_that_came_late_asks_its_source(plain):
    """Two minutes between its time and its arrival."""
    stations = (
        Station("event", plain.detail.incident.opened, 0.0),
        Station("received", plain.detail.incident.opened, 120_000.0),
    )
    found = propose(step(plain, "contain.0", stations=stations))
    assert any("120 s old when it came" in each.because for each in found)


def test_a_missed_deadline_and_a_notice_that_did_not_arrive(tmp_path):
    """Both are procedures to mend."""
    because = {why for _, why in said(reviewed(tmp_path, move=miss)[0])}
    assert any("was missed" in why for why in because)
    assert any("did not arrive" in why for why in because)


def test_a_closed_incident_leaves_a_test_behind(tmp_path):
    """Resolved: a test that must fire."""
    review, _, incident = reviewed(tmp_path, move=close("resolved"))
    assert any(f"halon test add {incident}" in each.do for each in propose(review))


def test_without_a_playbook_one_is_asked_for(plain):
    """Nothing was contained, since nothing was to be."""
    bare = msgspec.structs.replace(plain, detail=msgspec.structs.replace(plain.detail, steps=()))
    assert any("nothing was contained" in each.because for each in propose(bare))
    only = tuple(each for each in plain.detail.steps if each.phase is Phase.CONTAIN)
    bare = msgspec.structs.replace(plain, detail=msgspec.structs.replace(plain.detail, steps=only))
    assert any("no step kept evidence" in each.because for each in propose(bare))


def test_what_repeats_asks_for_its_cause(plain):
    """The third of its kind for one key."""
    row = plain.detail.incident
    others = tuple(
        Related(incident=f"inc-{n}", type=row.incident, key=row.key, state=row.state, how=("same key",))
        for n in range(2)
    )
    again = msgspec.structs.replace(plain, detail=msgspec.structs.replace(plain.detail, related=others))
    assert any("number 3 of its kind" in why for _, why in said(again))

"""The records of an incident's life on a real SQLite file: transitions, deadlines, notices, the watch list."""

import msgspec
import pytest

from engine.model import IncidentState, Mode, Phase
from engine.store import audit, deadlines, happenings, incidents, notices, timers, watches
from engine.store.batch import BatchChanges, BatchLimits, commit_batch
from engine.store.happenings import What
from engine.store.notices import Notice, NoticeState
from engine.store.watches import Watched
from tests.support.acting import START_US, incident

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
ONE = incident().id


def commit(connection, *found, at_us=START_US, reopened=()):
    """Commit a batch that holds these incidents."""
    batch = BatchChanges(at_us=at_us, matched_us=at_us, incidents=found, reopened=reopened)
    commit_batch(connection, batch, BatchLimits())


def move(connection, state, minutes, **more):
    """Move the incident, so many minutes after its opening."""
    return incidents.move(
        connection, ONE, state, at_us=START_US + minutes * MINUTE_US, **{"who": "halon", "reason": "so", **more}
    )


def test_each_transition_is_a_happening_and_an_audit_record_with_its_cause(connection):
    """Who, when, why and how it ended can be read back in order, from the chain too."""
    commit(connection, incident())
    move(connection, IncidentState.CONTAINED, 1, reason="every step was verified")
    move(connection, IncidentState.CLOSED, 2, who="ann", resolution="duplicate", duplicate_of="inc-0")
    told = [
        (each.at_us - START_US, each.what, each.who, each.reason) for each in happenings.of_incident(connection, ONE)
    ]
    assert told == [
        (0, What.OPEN, "halon", f"rule {incident().rule} fired"),
        (MINUTE_US, What.CONTAINED, "halon", "every step was verified"),
        (2 * MINUTE_US, What.CLOSED, "ann", "so"),
    ]
    last = list(audit.records(connection))[-1]
    assert (last.kind, last.body["who"], last.body["resolution"], last.body["duplicate_of"]) == (
        "incident.closed",
        "ann",
        "duplicate",
        "inc-0",
    )
    assert incidents.get(connection, ONE).duplicate_of == "inc-0"


def test_a_move_to_where_it_stands_says_nothing(connection):
    """Nothing happened, so nothing is written."""
    commit(connection, incident())
    assert not move(connection, IncidentState.OPEN, 1)
    assert len(happenings.of_incident(connection, ONE)) == 1


@pytest.mark.parametrize(
    ("state", "met"),
    [
        (IncidentState.CONTAINED, {Phase.CONTAIN}),
        (IncidentState.INVESTIGATING, {Phase.CONTAIN}),
        (IncidentState.RECOVERING, {Phase.CONTAIN, Phase.INVESTIGATE}),
        (IncidentState.CLOSED, set(Phase)),
    ],
)
def test_a_state_meets_the_deadlines_of_the_work_that_it_says_is_done(connection, state, met):
    """Their timers are gone, so that nobody is told of what is done."""
    commit(connection, incident())
    move(connection, state, 3)
    found = deadlines.of_incident(connection, ONE)
    assert [each.phase for each in found] == list(Phase)
    assert {each.phase for each in found if each.met_us == START_US + 3 * MINUTE_US} == met
    left = {timer.name for timer in timers.due(connection, START_US + 25 * HOUR_US)}
    assert {each for each in Phase if deadlines.timer_name(ONE, each) in left} == set(Phase) - met


def test_a_missed_deadline_stays_missed_when_its_work_is_done_later(connection):
    """The review asks for both: when it was found missed, and when it was made good."""
    commit(connection, incident())
    deadlines.miss(connection, ONE, Phase.CONTAIN, level=1, at_us=START_US + 15 * MINUTE_US)
    assert deadlines.overdue(connection) == {Phase.CONTAIN: 1, Phase.INVESTIGATE: 0, Phase.RECOVER: 0}
    deadlines.miss(connection, ONE, Phase.CONTAIN, level=2, at_us=START_US + 30 * MINUTE_US)
    assert deadlines.next_of(connection)[ONE].phase is Phase.CONTAIN
    move(connection, IncidentState.CONTAINED, 40)
    first = deadlines.of_incident(connection, ONE)[0]
    assert (first.missed_us, first.met_us, first.level) == (START_US + 15 * MINUTE_US, START_US + 40 * MINUTE_US, 2)
    assert deadlines.overdue(connection)[Phase.CONTAIN] == 0
    assert deadlines.next_of(connection)[ONE].phase is Phase.INVESTIGATE


def test_what_is_only_tried_out_has_no_deadlines_until_a_rule_enforces(connection):
    """Nobody is paged for a rule in observe; the clock runs from when one that enforces joins."""
    commit(connection, msgspec.structs.replace(incident(), mode=Mode.OBSERVE))
    assert deadlines.of_incident(connection, ONE) == []
    commit(connection, incident(), at_us=START_US + HOUR_US)
    assert deadlines.of_incident(connection, ONE)[0].due_us == START_US + HOUR_US + 15 * MINUTE_US


def test_a_reopened_incident_is_open_again_with_new_deadlines(connection):
    """Its resolution is gone, and what was met before has to be met again."""
    commit(connection, incident())
    incidents.acknowledge(connection, ONE, at_us=START_US, who="ann", reason="")
    move(connection, IncidentState.CLOSED, 5, who="ann", resolution="resolved")
    assert incidents.get(connection, ONE).acked_by == "ann"
    again = msgspec.structs.replace(incident(), reopened=1, steps_from=(2, 0, 0))
    commit(connection, again, at_us=START_US + HOUR_US, reopened=(ONE,))
    found = incidents.get(connection, ONE)
    assert (found.state, found.closed_us, found.resolution, found.reopened) == (IncidentState.OPEN, None, "", 1)
    assert found.acked_by == ""
    assert incidents.stage_of(connection, ONE).steps_from == (2, 0, 0)
    assert [each.due_us - START_US for each in deadlines.of_incident(connection, ONE)] == [
        HOUR_US + 15 * MINUTE_US,
        3 * HOUR_US,
        25 * HOUR_US,
    ]
    assert all(each.met_us is None for each in deadlines.of_incident(connection, ONE))


def test_an_incident_has_its_recorded_events_kept_at_once_and_a_while_later(connection):
    """Two timers: one for what came before, one for what comes after."""
    commit(connection, incident())
    pins = [each for each in timers.due(connection, START_US + HOUR_US) if each.name.startswith(timers.PIN)]
    assert [(each.name, each.due_us - START_US) for each in pins] == [
        (f"pin:before:{ONE}", 0),
        (f"pin:after:{ONE}", MINUTE_US),
    ]


def notice(**more):
    """A notice that waits."""
    given = {
        "id": "n-1",
        "incident": ONE,
        "channel": "on-call",
        "title": "a deadline is missed",
        "body": "",
        "level": "warning",
        "state": NoticeState.WAITING,
        "made_us": START_US,
        "next_us": START_US,
    }
    return Notice(**{**given, **more})


def test_a_notice_waits_until_its_next_try_and_is_written_once(connection):
    """An id is one notice, however often it is put."""
    assert notices.put(connection, notice())
    assert not notices.put(connection, notice(title="again"))
    assert [each.title for each in notices.waiting(connection, START_US)] == ["a deadline is missed"]
    notices.change(connection, "n-1", NoticeState.WAITING, next_us=START_US + MINUTE_US, tries=1, detail="refused")
    assert notices.waiting(connection, START_US) == []
    notices.change(connection, "n-1", NoticeState.FAILED, next_us=START_US, tries=5, detail="refused")
    assert notices.count_by_state(connection) == {
        NoticeState.WAITING: 0,
        NoticeState.SENT: 0,
        NoticeState.FAILED: 1,
    }
    assert [(each.tries, each.detail) for each in notices.of_incident(connection, ONE)] == [(5, "refused")]


def test_the_watch_list_is_kept_with_who_put_a_key_there_and_until_when(connection):
    """Each change is in the audit log; the list ends by itself."""
    watched = Watched(
        key=(("model", "m-1"),), since_us=START_US, until_us=START_US + HOUR_US, who="ann", incident=ONE, reason="seen"
    )
    watches.put(connection, watched)
    assert watches.find(connection) == [watched]
    assert watches.ended(connection, START_US + HOUR_US - 1) == []
    assert watches.ended(connection, START_US + HOUR_US) == [watched]
    assert watches.drop(connection, watched.key, at_us=START_US, who="bob")
    assert not watches.drop(connection, watched.key, at_us=START_US, who="bob")
    assert [each.kind for each in audit.records(connection)] == ["watch.added", "watch.ended"]

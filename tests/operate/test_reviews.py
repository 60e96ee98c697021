"""All that is known of an incident, from a real database."""

import msgspec

from engine.clock import SECOND_US
from engine.model import Phase
from engine.operate.reviews import EVENTS_MAX, Review, review
from engine.store.connection import open_readonly
from tests.support.reviewed import BEGAN_US, miss, request, reviewed, sick


def test_a_review_holds_what_was_recorded_and_what_was_missed(tmp_path):
    """Events as they were, the deadline with its standing, the notice that failed; and it survives JSON."""
    found, _, _ = reviewed(tmp_path, move=miss)
    assert [each.event.id for each in found.recorded.events] == [each.id for each in sick()]
    assert [(each.phase, each.missed is not None) for each in found.detail.deadlines] == [(Phase.CONTAIN, True)]
    assert [(each.channel, each.state) for each in found.detail.notices] == [("pager", "failed")]
    assert msgspec.json.decode(msgspec.json.encode(found), type=Review) == found


def test_of_too_many_events_the_last_are_taken_and_the_others_counted(tmp_path):
    """What came just before matters most."""
    many = [request(-n / 1_000) for n in range(EVENTS_MAX + 7, 0, -1)]
    found, _, _ = reviewed(tmp_path, recorded=[*many, *sick()])
    assert len(found.recorded.events) == EVENTS_MAX
    assert found.recorded.left_out == 7 + len(sick())
    assert found.recorded.events[-1].event.id == sick()[-1].id


def test_there_is_none_of_an_incident_that_is_not(tmp_path):
    """None, not an empty one."""
    reviewed(tmp_path)
    connection = open_readonly(tmp_path / "halon.db")
    assert review(connection, "inc-none") is None
    connection.close()
    assert BEGAN_US % SECOND_US == 0

"""Recorded events by key, type, time and around an incident, from a real database; what comes out is a recording."""

import io

import msgspec
import pytest

from engine.clock import SECOND_US, format_time
from engine.model import Event
from engine.operate import events
from engine.operate.events import Asked
from engine.operate.views import BadQuery
from engine.replay import Recording
from engine.store import incidents, recorder
from engine.store.connection import connect
from engine.store.migrate import migrate, shipped
from engine.store.pinned import Pinned, keep, pack
from engine.store.recorder import RecorderLimits
from tests.support.acting import START_US, incident

ONE = incident()


def event(number, kind="training.step", subject="inc-1"):
    """An event, so many seconds from the opening of the incident."""
    return Event(f"e{number}", "/s", kind, START_US + number * SECOND_US, subject, {"model": "m-17", "n": number})


@pytest.fixture
def connection(tmp_path):
    """An incident, recorded events around it, and one that is kept with it only."""
    made = connect(tmp_path / "halon.db")
    migrate(made, tmp_path / "halon.db", shipped())
    incidents.put(made, ONE, at_us=START_US)
    recorded = [event(-400), event(-20), event(-10, subject="other"), event(0, "training.batch"), event(30), event(90)]
    recorder.put(made, recorded, START_US, RecorderLimits())
    kept = Pinned(ONE.id, START_US, START_US, START_US, (event(-50), event(-20)))
    keep(made, [pack(kept)], kept_bytes_max=10**6)
    yield made
    made.close()


def ids(connection, **question):
    """The ids of what is found."""
    return [msgspec.json.decode(each)["id"] for each in events.find(connection, Asked(**question)).events]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ({}, ["e-400", "e-20", "e-10", "e0", "e30", "e90"]),
        ({"key": {"run": "other"}}, ["e-10"]),
        ({"key": {"model": "m-17", "run": "other"}}, ["e-10"]),
        ({"type": "training.batch"}, ["e0"]),
        ({"type": "training.*", "since_us": START_US}, ["e0", "e30", "e90"]),
        ({"since_us": START_US, "until_us": START_US + 30 * SECOND_US}, ["e0"]),
        ({"limit": 2}, ["e30", "e90"]),
        ({"around": "inc-1"}, ["e-50", "e-20", "e0", "e30"]),
        ({"around": "inc-1", "key": {}}, ["e-50", "e-20", "e-10", "e0", "e30"]),
        ({"around": "inc-1", "before_us": 30 * SECOND_US, "after_us": 0}, ["e-20", "e0"]),
        ({"around": "inc-1", "limit": 2}, ["e-20", "e0"]),
    ],
)
def test_events_are_found(connection, question, found):
    """Each once, in the order of their times; of too many the newest, or the nearest to the incident."""
    assert ids(connection, **question) == found


def test_what_is_past_the_limit_is_counted(connection):
    """So that nobody takes a part for the whole."""
    assert events.find(connection, Asked(limit=2)).left_out == 4


def test_of_an_incident_that_is_not_there_there_is_nothing(connection):
    """None, which is told apart from no events."""
    assert events.find(connection, Asked(around="inc-none")) is None


def test_the_lines_are_a_recording(connection):
    """`halon replay` reads the very events that were recorded."""
    lines = b"".join(bytes(each) + b"\n" for each in events.find(connection, Asked(type="training.batch")).events)
    assert list(Recording(io.BytesIO(lines))) == [event(0, "training.batch")]


def test_a_query_string_is_a_question():
    """As the control API takes it."""
    query = {"key": '{"model":"m-17"}', "around": "inc-1", "before_us": "5", "limit": "7", "type": "t"}
    query["since"] = format_time(START_US)
    assert events.asked(query) == Asked(
        key={"model": "m-17"}, around="inc-1", before_us=5, limit=7, type="t", since_us=START_US
    )


@pytest.mark.parametrize(
    "query",
    [{"key": "model=m"}, {"key": '{"a":1}'}, {"before_us": "x"}, {"before_us": "-1"}, {"since": "now"}, {"limit": "0"}],
)
def test_a_question_that_makes_no_sense_is_refused(query):
    """With what is wrong with it."""
    with pytest.raises(BadQuery):
        events.asked(query)

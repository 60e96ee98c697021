"""The flight recorder on a real SQLite file: what it holds, what it lets go of, what is pinned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Event
from engine.store import recorder
from engine.store.recorder import Held, RecorderLimits
from tests.support.acting import START_US
from tests.support.databases import memory

SECOND_US = 1_000_000


def event(number, **more):
    """An event, so many seconds after the start."""
    given = {"id": f"e{number}", "source": "/s", "type": "t", "time_us": START_US + number * SECOND_US}
    return Event(**{**given, **more})


def record(connection, *numbers, at=0, limits=None, **more):
    """Record one batch that arrived at `at` seconds."""
    events = [event(number, **more) for number in numbers]
    recorder.put(connection, events, START_US + at * SECOND_US, limits or RecorderLimits())


def ids(connection, **between):
    """The ids of what the ring holds."""
    return [each.id for _, each in recorder.scan(connection, **between)]


def test_events_are_given_back_as_they_were_judged_in_the_order_of_arrival(connection):
    """Data of every kind survives, and the batch they came in says when they arrived."""
    odd = event(5, subject="run-7", data={"a": [1, 2.5, None, {"b": "ä"}]}, ext={"traceparent": "x"})
    recorder.put(connection, [odd, event(1)], START_US + 9, RecorderLimits())
    assert list(recorder.scan(connection)) == [(START_US + 9, odd), (START_US + 9, event(1))]


def test_a_stretch_of_time_is_asked_for_by_event_time(connection):
    """From the first moment of it, up to and without the last."""
    record(connection, 1, 5)
    record(connection, 3, 9)
    assert ids(connection, from_us=START_US + 3 * SECOND_US, until_us=START_US + 9 * SECOND_US) == ["e5", "e3"]


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (RecorderLimits(events_max=4), ["e6", "e7", "e8", "e9"]),
        (RecorderLimits(age_us=2 * SECOND_US), ["e4", "e5", "e6", "e7", "e8", "e9"]),
        (RecorderLimits(events_max=0), []),
    ],
)
def test_the_oldest_batches_go_past_a_bound(connection, limits, left):
    """By count and by age, batch by batch; nothing is recorded where the bound is 0."""
    for at in range(5):
        record(connection, 2 * at, 2 * at + 1, at=at, limits=limits)
    assert ids(connection) == left


def test_bytes_are_bounded_too(connection):
    """However few events they are."""
    for at in range(50):
        record(connection, at, at=at, limits=RecorderLimits(bytes_max=20_000), data={"text": "x" * 1_000})
    held = recorder.held(connection)
    assert 10_000 < held.bytes <= 20_000
    assert ids(connection)[-1] == "e49"


def test_how_much_is_held_is_known_without_looking_through_it(connection):
    """By the running totals of the first and the last row: as much as is there."""
    assert recorder.held(connection) == Held(events=0, bytes=0, since_us=None)
    for at in range(9):
        record(connection, *range(at + 1), at=at, limits=RecorderLimits(events_max=20))
    events = [each for _, each in recorder.scan(connection)]
    (size,) = connection.execute("SELECT sum(length(body)) FROM recorded").fetchone()
    held = recorder.held(connection)
    assert (held.events, held.bytes) == (len(events), size)
    assert held.since_us == next(recorder.scan(connection))[0]


def test_smaller_bounds_are_reached_in_a_while(connection):
    """A batch removes more rows than it adds."""
    for at in range(40):
        record(connection, at, at=at)
    for at in range(40, 46):
        record(connection, at, at=at, limits=RecorderLimits(events_max=3))
    assert ids(connection) == ["e43", "e44", "e45"]


@pytest.mark.parametrize(
    ("more", "wanted", "concerns"),
    [
        ({"subject": "m-17"}, ["m-17"], True),
        ({"source": "m-17"}, ["m-17"], True),
        ({"data": {"deploy": [{"model": "m-17"}]}}, ["m-17"], True),
        ({"data": {"job": 17}}, ["17"], True),
        ({"data": {"job": 1.5}}, ["1.5"], True),
        ({"ext": {"tenant": "m-17"}}, ["m-17"], True),
        ({"data": {"model": "m-170"}}, ["m-17"], False),
        ({"data": {"m-17": 1}}, ["m-17"], False),
        ({"data": True}, ["True"], False),
        ({"subject": "m-17", "data": {"client": "c-1"}}, ["m-17", "c-1"], True),
        ({"subject": "m-17"}, ["m-17", "c-1"], False),
        ({"data": {"a": {"b": {"c": {"d": {"e": "m-17"}}}}}}, ["m-17"], False),
        ({}, [], True),
    ],
)
def test_an_event_concerns_a_key_if_it_mentions_all_of_its_values(more, wanted, concerns):
    """As subject, source or value, whole; names of fields do not count, nor what lies too deep."""
    assert recorder.concerns(wanted)(event(1, **more)) is concerns


VALUES = st.sampled_from(["m-17", "m-170", "c-1", "17", "1.5", "nan", "é", "", "true"])
DATA = st.recursive(
    VALUES | st.sampled_from([17, 1.5, 170, True, None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(VALUES, inner, max_size=2),
    max_leaves=4,
)


@given(
    events=st.lists(st.tuples(VALUES.filter(bool), VALUES.filter(bool), DATA), min_size=1, max_size=8),
    keys=st.lists(st.lists(VALUES, max_size=2), min_size=1, max_size=6),
)
def test_to_look_for_bytes_first_loses_no_event_that_concerns_a_key(events, keys):
    """Texts and numbers, parts of others, several keys at once: the same as reading every event."""
    made = [
        event(number, source=source, subject=subject, data=data)
        for number, (source, subject, data) in enumerate(events)
    ]
    connection = memory()
    recorder.put(connection, made[:4], START_US, RecorderLimits())
    recorder.put(connection, made[4:], START_US, RecorderLimits())

    def concerned(found):
        return [each.id for _, each in found if any(recorder.concerns(key)(each) for key in keys)]

    assert concerned(recorder.scan(connection, mentioning=keys)) == concerned(recorder.scan(connection))
    connection.close()

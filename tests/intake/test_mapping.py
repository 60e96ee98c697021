"""engine.intake.mapping: plain JSON to events by CEL over `topic` and `payload`."""

import json

import pytest

from engine.cel.environment import CelEnvironment
from engine.cloudevents import Malformed
from engine.config import EventMap
from engine.intake.mapping import EventMapper, compile_map
from engine.model import Event

NOW_US = 1_800_000_000_000_000
ENVIRONMENT = CelEnvironment({})


def mapped(payload, *, topic="site/gpu-3/metrics", arrived_us=NOW_US, retained=False, **written):
    mapper = compile_map(EventMap(**{"type": "'gpu.metrics'", **written}), ENVIRONMENT)
    assert isinstance(mapper, EventMapper), mapper
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return mapper.event(raw, topic=topic, source="/local/x", arrived_us=arrived_us, retained=retained)


def test_each_attribute_comes_from_its_expression():
    """Levels of the topic and members of the payload become type, source, subject, id, time and data."""
    event = mapped(
        {"seq": 7, "at": "2026-01-01T00:00:00Z", "kind": "hot", "values": {"celsius": 91.5}},
        type="'gpu.' + payload.kind",
        source="'/site/' + topic[0]",
        subject="topic[1]",
        id="payload.seq",
        time="payload.at",
        data="payload.values",
    )
    assert event == Event(
        id="7",
        source="/site/site",
        type="gpu.hot",
        time_us=1_767_225_600_000_000,
        subject="gpu-3",
        data={"celsius": 91.5},
    )


def test_what_the_map_leaves_out_has_a_default():
    """Data is the payload, the source is the door's, the time that of arrival, and there is no subject."""
    event = mapped({"a": 1})
    assert (event.source, event.subject, event.time_us, event.data) == ("/local/x", None, NOW_US, {"a": 1})
    assert event.id.startswith("sha256-")


@pytest.mark.parametrize(
    ("expression", "time_us"),
    [
        ("payload.seconds", 1_767_225_600_500_000),
        ("payload.whole", 1_767_225_600_000_000),
        ("payload.millis / 1000.0", 1_767_225_600_500_000),
        ("timestamp(payload.text)", 1_767_225_600_000_000),
        ("payload.nothing", NOW_US),
    ],
)
def test_times_are_texts_timestamps_or_seconds(expression, time_us):
    """A number is seconds since 1970; null is the time of arrival."""
    payload = {
        "seconds": 1_767_225_600.5,
        "whole": 1_767_225_600,
        "millis": 1_767_225_600_500.0,
        "text": "2026-01-01T00:00:00Z",
        "nothing": None,
    }
    assert mapped(payload, time=expression).time_us == time_us


@pytest.mark.parametrize(
    ("payload", "written", "reason"),
    [
        (b"{", {}, "not JSON: "),
        (b"\xff", {}, "not "),
        (b"[" * 5_000, {}, "nested too deeply"),
        ({}, {"type": "payload.kind"}, "`map.type`: "),
        ({"kind": 3}, {"type": "payload.kind"}, "`map.type`: "),
        ({"kind": ""}, {"type": "payload.kind"}, "`type` is empty"),
        ({"kind": "a\x07"}, {"type": "payload.kind"}, "`type` holds a control character"),
        ({"s": {}}, {"subject": "payload.s"}, "`map.subject`: a value of type dict is no string or whole number"),
        ({"t": "yesterday"}, {"time": "payload.t"}, "`map.time`: `yesterday` is not an RFC 3339 time stamp"),
        ({"t": 1_767_225_600_500}, {"time": "payload.t"}, "`map.time`: 1767225600500 seconds since 1970 is no time"),
        ({"t": True}, {"time": "payload.t"}, "`map.time`: a boolean is no time"),
        ({}, {"data": "payload.values"}, "`map.data`: "),
        ({}, {"subject": "topic[9]"}, "`map.subject`: "),
    ],
)
def test_what_cannot_be_mapped_says_which_attribute_and_why(payload, written, reason):
    """Bad payloads and expressions without a value are reasons, not exceptions."""
    answer = mapped(payload, **written)
    assert isinstance(answer, Malformed)
    assert answer.reason.startswith(reason)


def test_a_message_with_a_time_that_is_delivered_twice_has_one_id():
    """Same source, topic, payload and mapped time: the same event, whenever it arrives."""
    payload = {"at": 1_767_225_600, "v": 1}
    first = mapped(payload, time="payload.at")
    again = mapped(payload, time="payload.at", arrived_us=NOW_US + 5)
    assert first == again
    assert mapped({"at": 1_767_225_600, "v": 2}, time="payload.at").id != first.id
    assert mapped(payload, time="payload.at", topic="site/gpu-4/metrics").id != first.id
    assert mapped(payload, time="payload.at", source="'/other'").id != first.id


def test_equal_messages_without_a_time_are_events_of_their_own():
    """A sensor that says the same twice is not heard once; a retained message is a state, and is one event."""
    assert mapped({"v": 1}).id != mapped({"v": 1}, arrived_us=NOW_US + 1).id
    assert mapped({"v": 1}, retained=True).id == mapped({"v": 1}, arrived_us=NOW_US + 1, retained=True).id


def test_expressions_that_do_not_compile_are_named():
    """Every attribute with a mistake comes back with what is wrong."""
    problems = compile_map(EventMap(type="event.type", subject="topic[", id="payload.id"), ENVIRONMENT)
    assert set(problems) == {"type", "subject"}
    assert all(each.message for found in problems.values() for each in found)


def split(payload, *, topic="site/gpu-3/metrics", arrived_us=NOW_US, events_max=100, **written):
    mapper = compile_map(EventMap(**{"type": "'gpu.' + payload.kind", "each": "payload.all", **written}), ENVIRONMENT)
    assert isinstance(mapper, EventMapper), mapper
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return mapper.events(raw, topic=topic, source="/local/x", arrived_us=arrived_us, events_max=events_max)


def test_each_item_of_a_list_is_an_event():
    """In the other expressions `payload` is the item; `each` may take along what stands beside the list."""
    decoded = split({"all": [{"kind": "hot"}, {"kind": "cold"}]})
    assert [(each.type, each.data) for each in decoded.events] == [
        ("gpu.hot", {"kind": "hot"}),
        ("gpu.cold", {"kind": "cold"}),
    ]
    beside = {"host": "a", "all": [1, 2]}
    each = "payload.all.map(one, {'kind': payload.host, 'n': one})"
    assert [one.data for one in split(beside, each=each).events] == [{"kind": "a", "n": 1}, {"kind": "a", "n": 2}]
    assert split([{"kind": "x"}], each="payload").events[0].type == "gpu.x"
    assert split({"all": []}).events == []


def test_one_bad_item_does_not_hide_the_others():
    """It is named by its place."""
    decoded = split({"all": [{"kind": "hot"}, {}, {"kind": 7}]})
    assert [each.type for each in decoded.events] == ["gpu.hot"]
    assert [each.reason.partition(":")[0] for each in decoded.malformed] == ["item 1", "item 2"]


def test_items_delivered_twice_are_the_same_and_equal_items_are_two():
    """Where the map names a time; without one, the time of arrival is part of the id."""
    payload = {"all": [{"kind": "a", "t": 5}, {"kind": "a", "t": 5}]}
    first, again = split(payload, time="payload.t"), split(payload, time="payload.t", arrived_us=NOW_US + 5)
    assert first.events == again.events
    assert len({each.id for each in first.events}) == 2
    assert split(payload).events[0].id != split(payload, arrived_us=NOW_US + 1).events[0].id


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "not JSON: "),
        (b"[" * 5_000, "nested too deeply"),
        ({}, "`map.each`: "),
        ({"all": 7}, "`map.each`: a value of type int is no list"),
        ({"all": [{"kind": "a"}] * 101}, "101 items in one message; at most 100 are taken"),
    ],
)
def test_a_message_without_its_list_is_wrong_as_a_whole(payload, reason):
    """One reason, no events."""
    decoded = split(payload)
    assert decoded.events == []
    assert [each.reason.startswith(reason) for each in decoded.malformed] == [True]

"""engine.intake.formats: messages to events or dead letters, by the format of their topic."""

import json

import pytest

from engine.config import Config, EventMap, IntakeConfig, MayConfig, MqttConfig, TopicConfig
from engine.intake.contract import DeadLetter, Received
from engine.intake.formats import Formats
from engine.intake.permits import VIOLATION
from engine.intake.producers.table import PRODUCERS
from engine.model import Event
from tests.support.samples import SAMPLES, producer_of

NOW_US = 1_800_000_000_000_000
CONFIG = Config(
    intake=IntakeConfig(payload_bytes_max=5_000, payload_events_max=20),
    mqtt=(
        MqttConfig(
            name="site",
            topics=(
                TopicConfig(filter="events/#"),
                TopicConfig(filter="plain/+", format="json", map=EventMap(type="'gpu.' + topic[1]")),
                TopicConfig(filter="#"),
            ),
        ),
        MqttConfig(name="other", topics=(TopicConfig(filter="x"),)),
    ),
)
BASE = {"specversion": "1.0", "id": "e-1", "source": "/train", "type": "training.step"}


def received(payload, *, topic="events/a", door="site", **more):
    return Received(
        **{
            "door": door,
            "token": 1,
            "topic": topic,
            "payload": payload,
            "received_us": NOW_US,
            "size_bytes": len(payload),
            **more,
        }
    )


def decode(payload, **more):
    return list(Formats(CONFIG).decode(received(payload, **more)))


def test_a_cloudevents_topic_gives_the_events_of_a_message():
    """One event or a batch, in order."""
    assert [each.id for each in decode(json.dumps(BASE).encode())] == ["e-1"]
    batch = json.dumps([{**BASE, "id": str(n)} for n in range(3)]).encode()
    assert [each.id for each in decode(batch)] == ["0", "1", "2"]
    assert decode(b"[]") == []


def test_a_json_topic_is_mapped_and_names_its_door_and_topic_as_source():
    """The first filter that fits decides the format."""
    (event,) = decode(b'{"celsius": 90}', topic="plain/heat")
    assert (event.type, event.source, event.data) == ("gpu.heat", "/site/plain/heat", {"celsius": 90})
    (letter,) = decode(b"{", topic="plain/heat")
    assert letter.reason.startswith("not JSON")


def test_what_is_too_large_is_a_dead_letter_without_being_decoded():
    """The reason names both sizes; so short a payload is kept whole, to be tried again under a higher limit."""
    whole = b'{"a": "' + b"x" * 5_000
    letters = decode(whole)
    assert letters == [
        DeadLetter(
            door="site",
            topic="events/a",
            reason="the payload has 5007 bytes; `intake.payload_bytes_max` is 5000",
            received_us=NOW_US,
            size_bytes=5_007,
            payload=whole,
        )
    ]


def test_a_bad_event_of_a_batch_is_a_letter_of_its_own_and_the_others_are_events():
    """The letter holds that event alone, and says its place."""
    raw = json.dumps([BASE, {**BASE, "id": ""}, {**BASE, "id": "e-2"}]).encode()
    first, second, letter = decode(raw)
    assert (first.id, second.id) == ("e-1", "e-2")
    assert letter.reason == "event 1 of the batch: `id` is empty"
    assert json.loads(letter.payload) == {**BASE, "id": ""}


def test_a_batch_of_nothing_but_bad_events_gives_a_bounded_number_of_letters():
    """Ten letters at most; the last one counts the rest."""
    letters = decode(b"[" + b",".join([b"7"] * 20) + b"]")
    assert len(letters) == 10
    assert letters[-1].reason.endswith("not a number (and 10 more of this batch)")
    (letter,) = decode(b"[" + b",".join([b"7"] * 21) + b"]")
    assert letter.reason == "21 events in one batch; at most 20 are taken"


def test_binary_mode_of_mqtt_5_takes_its_attributes_from_user_properties():
    """Other people's user properties are left alone; without `specversion` the payload has to be structured."""
    properties = (*BASE.items(), ("subject", "run-7"), ("X-Trace", "1"))
    (event,) = decode(b'{"loss": 2}', properties=properties, content_type="application/json")
    assert event == Event(
        id="e-1",
        source="/train",
        type="training.step",
        time_us=NOW_US,
        subject="run-7",
        data={"loss": 2},
        ext={"datacontenttype": "application/json"},
    )
    (event,) = decode(json.dumps(BASE).encode(), properties=(("x", "y"),))
    assert event.id == "e-1"
    (event,) = decode(
        json.dumps({**BASE, "id": "inner"}).encode(),
        properties=tuple(BASE.items()),
        content_type="application/cloudevents+json; charset=utf-8",
    )
    assert event.id == "inner"


@pytest.mark.parametrize(
    ("properties", "payload", "reason"),
    [
        ((*BASE.items(), ("id", "e-2")), b"", "a user property is given twice"),
        ((("specversion", "1.0"),), b"", "`id` is missing"),
        (tuple(BASE.items()), b"{", "the data is not JSON"),
    ],
)
def test_binary_mode_says_what_is_wrong(properties, payload, reason):
    """A bad binary message is a dead letter with its reason."""
    (letter,) = decode(payload, properties=properties)
    assert letter.reason.startswith(reason)


def test_a_topic_that_no_filter_names_is_a_dead_letter():
    """A session may still bring what an older config subscribed to."""
    (letter,) = decode(b"{}", door="other", topic="y")
    assert letter.reason.startswith("no topic of the config matches")


def test_what_a_door_has_decoded_itself_passes_as_it_is():
    """The HTTP door answers with the reason at once, so it decodes before."""
    event = Event(id="1", source="s", type="t", time_us=1)
    assert decode(b"", events=(event,)) == [event]


def test_a_map_that_does_not_compile_stops_the_start():
    """The message names the topic and the attribute."""
    topic = TopicConfig(filter="a/#", format="json", map=EventMap(type="topic["))
    with pytest.raises(ValueError, match=r"topic `a/#`: `map.type`: "):
        Formats(Config(mqtt=(MqttConfig(topics=(topic,)),)))
    with pytest.raises(ValueError, match="needs a `map`"):
        Formats(Config(mqtt=(MqttConfig(topics=(TopicConfig(filter="a", format="json"),)),)))


def test_what_a_topic_may_not_say_is_dropped_and_told():
    """Of a batch, what is allowed goes on; the rest becomes violations, mapped events too."""
    may = MayConfig(types=("training.*",), sources=("/train",))
    topics = (
        TopicConfig(filter="events/#", may=may),
        TopicConfig(filter="plain/+", format="json", map=EventMap(type="'gpu.' + topic[1]"), may=may),
    )
    formats = Formats(Config(mqtt=(MqttConfig(name="site", topics=topics),)))
    batch = [BASE, {**BASE, "id": "e-2", "type": "credential.leaked"}, {**BASE, "id": "e-3", "source": "/vault"}]
    found = formats.decode(received(json.dumps(batch).encode()))
    assert [(each.type, each.subject) for each in found] == [
        ("training.step", None),
        (VIOLATION, "site/events/#"),
        (VIOLATION, "site/events/#"),
    ]
    (mapped,) = formats.decode(received(b'{"celsius": 90}', topic="plain/heat"))
    assert (mapped.type, mapped.data["type"], mapped.data["topic"]) == (VIOLATION, "gpu.heat", "plain/heat")


def test_a_topic_of_a_producer_gives_its_events():
    """The same formats as over HTTP; user properties are its headers."""
    topics = tuple(TopicConfig(filter=f"{name}/#", format=name) for name in PRODUCERS)
    formats = Formats(Config(mqtt=(MqttConfig(name="site", topics=topics),)))
    for name, sample in SAMPLES.items():
        message = received(
            sample.body.encode(),
            topic=f"{producer_of(name).name}/x",
            content_type=sample.content_type,
            properties=tuple((key.removeprefix("ce-"), value) for key, value in sample.headers.items()),
        )
        given = formats.decode(message)
        assert [(each.type, each.subject, each.data) for each in given] == [
            (each.type, each.subject, each.data) for each in sample.expected()
        ]
        assert all(each.source.startswith((f"/site/{producer_of(name).name}/x", "http:")) for each in given)


def test_what_a_producers_message_lacks_is_one_letter_beside_its_events():
    """The letter keeps the whole message and counts what was wrong with it; `may` holds for its events too."""
    may = MayConfig(types=("k8s.event",))
    topic = TopicConfig(filter="k8s", format="kubernetes-events", may=may)
    formats = Formats(Config(mqtt=(MqttConfig(name="site", topics=(topic,)),)))
    good = {"reason": "BackOff", "involvedObject": {"kind": "Pod", "name": "p"}}
    body = json.dumps([good, {}, {}, {}, {}, 7]).encode()
    event, letter = formats.decode(received(body, topic="k8s"))
    assert event.type == "k8s.event"
    assert letter.payload == body
    assert letter.reason.startswith("`[1]`: not an Event of Kubernetes")
    assert letter.reason.endswith("; and 2 more")
    narrow = TopicConfig(filter="k8s", format="kubernetes-events", may=MayConfig(types=("x",)))
    [told] = Formats(Config(mqtt=(MqttConfig(name="site", topics=(narrow,)),))).decode(
        received(json.dumps(good).encode(), topic="k8s")
    )
    assert told.type == VIOLATION


def test_a_json_topic_may_bring_several_events_in_one_message():
    """What of the list can't be one is told in one letter, which keeps the message."""
    topic = TopicConfig(filter="m", format="json", map=EventMap(each="payload", type="payload.type"))
    formats = Formats(Config(mqtt=(MqttConfig(name="site", topics=(topic,)),)))
    good, bad = formats.decode(received(b'[{"type": "a"}, {}]', topic="m"))
    assert (good.type, good.source) == ("a", "/site/m")
    assert bad.reason.startswith("item 1: `map.type`: ")
    assert [each.type for each in formats.decode(received(b'[{"type": "a"}, {"type": "b"}]', topic="m"))] == ["a", "b"]

"""The MQTT door under bad input, by every client: each message is events or dead letters, acknowledged, and no end.

Real brokers refuse much of this from its sender, so it comes from one that refuses nothing.
"""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.config import Config, EventMap, IntakeConfig, MqttConfig, TopicConfig
from engine.intake.contract import DeadLetter
from engine.intake.formats import Formats
from engine.intake.packets import varint
from engine.model import Event
from tests.support.doors import CLIENTS, open_door
from tests.support.fakebroker import PINGREQ, FakeBroker
from tests.support.wait import until_async

TOPICS = (TopicConfig(filter="plain/#", format="json", map=EventMap(type="payload.kind")), TopicConfig(filter="#"))
FORMATS = Formats(Config(mqtt=(MqttConfig(topics=TOPICS),), intake=IntakeConfig(payload_bytes_max=10_000)))
GOOD = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}

names = st.sampled_from(["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "x", "UPPER", ""])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just({}) | st.just([])
attributes = st.dictionaries(names, scalars | st.just("1.0"), max_size=8).map(lambda extra: {**GOOD, **extra})
payloads = st.one_of(
    st.binary(max_size=60),
    attributes.map(lambda made: json.dumps(made).encode()),
    st.lists(attributes | scalars, max_size=5).map(lambda made: json.dumps(made).encode()),
    st.just(json.dumps(GOOD).encode()),
    st.just(b"[" * 5_000),
    st.just(b"x" * 10_001),
)
topics = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.sampled_from([b"a", b"plain/a", b"$SYS/x", b"a/#", b"+", b"a\0b", b"/", "ä/µ".encode(), b"t" * 65_535]),
)


def user_property(name, value):
    return b"\x26" + len(name).to_bytes(2) + name + len(value).to_bytes(2) + value


properties = st.one_of(
    st.just(b""),
    st.binary(max_size=30),
    st.lists(
        st.tuples(
            st.sampled_from([b"specversion", b"id", b"source", b"type", b"time", b"\xff", b"X"]),
            st.sampled_from([b"1.0", b"1", b"", b"\xff", b"2026-01-01T00:00:00Z", "é".encode()]),
        ).map(lambda pair: user_property(*pair)),
        max_size=6,
    ).map(b"".join),
    st.sampled_from([b"application/cloudevents+json", b"\xff", b"text/x"]).map(
        lambda kind: b"\x03" + len(kind).to_bytes(2) + kind
    ),
)


@pytest.mark.parametrize("name", CLIENTS)
def test_every_message_is_an_event_or_a_dead_letter_and_is_acknowledged(name):
    """Any topic, properties and payload over one connection that holds: nothing is lost, nothing ends the door."""
    speaks = CLIENTS[name]
    runner = asyncio.Runner()
    state = {"packet_id": 0}

    @settings(max_examples=100, suppress_health_check=list(HealthCheck))
    @given(topics, properties, payloads)
    def one(topic, given_properties, payload):
        async def example():
            broker, running = state["broker"], state["running"]
            state["packet_id"] = packet_id = state["packet_id"] % 60_000 + 1
            before = broker.acknowledged[packet_id]
            broker.publish(topic, payload, packet_id=packet_id, properties=given_properties)
            (received,) = await running.take(1)
            found = FORMATS.decode(received)
            assert all(isinstance(each, Event | DeadLetter) for each in found)
            assert all(each.reason for each in found if isinstance(each, DeadLetter))
            assert received.size_bytes == len(payload)
            await running.door.acknowledge([received])
            await until_async(lambda: broker.acknowledged[packet_id] == before + 1, what="it is acknowledged")
            assert broker.connects == 1, running.door.status().problem

        runner.run(example())

    async def scenario():
        state["broker"] = broker = FakeBroker(version5=speaks["protocol"] == "5")
        await broker.__aenter__()
        state["door"] = open_door(
            broker.port, **speaks, name="local", intake=IntakeConfig(payload_bytes_max=10_000), topic="#"
        )
        state["running"] = await state["door"].__aenter__()

    async def end():
        await state["door"].__aexit__(None, None, None)
        await state["broker"].__aexit__(None, None, None)

    with runner:
        runner.run(scenario())
        try:
            one()
        finally:
            runner.run(end())


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\x00",
        b"\x32\x01\x00",
        b"\x20\xff\xff\xff\xff\x01",
        b"\xf0\x7f" + b"\xff" * 127,
        b"\x36\x05\x00\x01t\x00\x01",
    ],
    ids=["no packet", "no topic", "no length", "another type", "QoS 3"],
)
def test_after_bytes_that_are_no_mqtt_the_door_comes_again_by_itself(name, noise):
    """The connection ends with a reason that shows; the next one works."""
    speaks = CLIENTS[name]

    async def scenario():
        async with (
            FakeBroker(version5=speaks["protocol"] == "5") as broker,
            open_door(broker.port, **speaks, keepalive=1_000_000) as running,
        ):
            broker.send(noise)
            await until_async(lambda: broker.connects >= 2, what=f"it comes again {running.door.status()}")
            await running.connected()
            broker.publish(b"t/a", b"x", packet_id=1)
            assert (await running.take(1))[0].payload == b"x"

    asyncio.run(scenario())


@pytest.mark.parametrize("name", CLIENTS)
def test_a_broker_that_falls_silent_is_given_up_and_tried_again(name):
    """Half-open: the line stands, nobody answers to pings; the door says so and makes a new connection."""
    speaks = CLIENTS[name]

    async def scenario():
        async with (
            FakeBroker(version5=speaks["protocol"] == "5") as broker,
            open_door(broker.port, **speaks, keepalive=1_000_000) as running,
        ):
            broker.mute = True
            await until_async(lambda: not running.door.status().connected, what="the loss is seen")
            assert broker.heard[PINGREQ] >= 1
            assert running.door.status().problem
            broker.mute = False
            await running.connected()
            assert broker.connects >= 2

    asyncio.run(scenario())


@pytest.mark.parametrize("name", CLIENTS)
def test_a_broker_that_dribbles_is_waited_for_and_holds_up_nothing(name):
    """A packet that comes byte by byte becomes the message it is; the event loop turns meanwhile."""
    speaks = CLIENTS[name]

    async def scenario():
        async with (
            FakeBroker(version5=speaks["protocol"] == "5") as broker,
            open_door(broker.port, **speaks) as running,
        ):
            body = b"\x00\x03t/a\x00\x07" + (b"\x00" if broker.version5 else b"") + b"slowly"
            for byte in b"\x32" + varint(len(body)) + body:
                broker.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await running.take(1))[0].payload == b"slowly"

    asyncio.run(scenario())

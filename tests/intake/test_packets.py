"""engine.intake.packets: whatever bytes come, packets, problems or an end; never an exception, always a bound."""

from contextlib import suppress
from itertools import pairwise

import mqtt5
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.intake.connection import Message
from engine.intake.contract import DEADLETTER_PAYLOAD_BYTES_MAX
from engine.intake.packets import PROPERTIES_BYTES_MAX, Malformed, PacketReader, texts_problem, varint

PAYLOAD_MAX = 1_000
CHUNK = 997

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), max_size=20)
words = texts.filter(bool)
publishes = st.builds(
    lambda topic, payload, qos, retain, number, kind, properties, expiry: mqtt5.PublishPacket(
        topic,
        payload,
        qos=[mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE, mqtt5.QoS.EXACTLY_ONCE][qos],
        retain=retain,
        packet_id=number if qos else None,
        content_type=kind,
        user_properties=properties,
        message_expiry_interval=expiry,
    ),
    words,
    st.binary(max_size=300),
    st.integers(0, 2),
    st.booleans(),
    st.integers(1, 65_535),
    st.none() | texts,
    st.lists(st.tuples(texts, texts), max_size=3),
    st.none() | st.integers(1, 2**32 - 1),
)
others = st.one_of(
    st.builds(lambda number: mqtt5.PubAckPacket(number), st.integers(1, 65_535)),
    st.builds(
        lambda number, reason: mqtt5.SubAckPacket(
            number, [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE], reason_str=reason
        ),
        st.integers(1, 65_535),
        st.none() | texts,
    ),
    st.builds(lambda reason: mqtt5.ConnAckPacket(reason_str=reason, assigned_client_id=reason), st.none() | texts),
    st.builds(lambda reason: mqtt5.DisconnectPacket(reason_str=reason), st.none() | texts),
    st.builds(lambda: mqtt5.PingRespPacket()),
)


def read_all(reader):
    found = []
    while (each := reader.next()) is not None:
        found.append(each)
        if isinstance(each, Malformed):
            break
    return found


def cut(data, places):
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def publish(topic=b"t", payload=b"x", properties=b"", *, first=0x32, packet_id=b"\x00\x07"):
    body = len(topic).to_bytes(2) + topic + packet_id + varint(len(properties)) + properties + payload
    return bytes([first]) + varint(len(body)) + body


@given(st.lists(publishes | others, min_size=1, max_size=8), st.lists(st.integers(0, 10_000), max_size=6))
def test_what_the_codec_writes_is_read_as_it_was_written_however_it_is_cut(packets, places):
    """Every field that a door uses comes through, over any chunks; other packets come as they were."""
    reader = PacketReader(payload_bytes_max=PAYLOAD_MAX)
    found = []
    for chunk in cut(b"".join(each.write() for each in packets), places):
        reader.feed(chunk)
        found += read_all(reader)
    assert len(found) == len(packets)
    for got, wanted in zip(found, packets, strict=True):
        if not isinstance(wanted, mqtt5.PublishPacket):
            assert got == wanted
            continue
        assert got == Message(
            topic=wanted.topic,
            payload=wanted.payload,
            packet_id=wanted.packet_id or 0,
            size_bytes=len(wanted.payload),
            qos=wanted.qos.value,
            retained=wanted.retain,
            content_type=wanted.content_type or "",
            properties=tuple(wanted.user_properties),
        )
    assert reader.held_bytes <= max(len(each.write()) for each in packets) + 10_000


streams = st.lists(publishes | others, min_size=1, max_size=4).map(lambda all_: b"".join(each.write() for each in all_))


@settings(max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=400),
        st.builds(
            lambda stream, edits: bytes(bend(stream, edits)),
            streams,
            st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
        ),
    ),
    st.lists(st.integers(0, 10_000), max_size=4),
)
@example(publish(topic=b"\xff"), [])
@example(publish(properties=b"\x26\x00\x01\xff\x00\x01a"), [])
@example(b"\x20\x07\x00\x00\x04\x1f\x00\x01\xff", [])
def test_any_bytes_give_packets_or_an_end_and_never_an_exception(data, places):
    """Bent packets and plain noise: nothing raises (the codec panics at texts that are not UTF-8), all is used up."""
    reader = PacketReader(payload_bytes_max=PAYLOAD_MAX)
    for chunk in cut(data, places):
        reader.feed(chunk)
        for each in read_all(reader):
            if isinstance(each, Malformed):
                assert each.reason
                return
            assert not isinstance(each, mqtt5.PublishPacket)


def bend(stream, edits):
    bent = bytearray(stream)
    for place, value in edits:
        bent[place % len(bent)] = value
    return bent


@given(st.binary(min_size=1, max_size=60))
def test_texts_are_read_to_their_end_or_said_to_break_off(data):
    """Properties of any bytes: an answer, and one that lets nothing through at which the codec would panic."""
    problem = texts_problem(data, 0, len(data))
    if not problem:
        whole = (
            b"\x30" + varint(4 + len(varint(len(data))) + len(data)) + b"\x00\x01t" + varint(len(data)) + data + b"x"
        )
        with suppress(ValueError):
            assert mqtt5.read(memoryview(whole))[0].payload == b"x"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (publish(topic=b"a/\xff"), "the topic is not UTF-8"),
        (publish(topic=b"a/#"), "character"),
        (publish(properties=b"\x26\x00\x01\xff\x00\x01a"), "a property is not UTF-8"),
        (publish(properties=b"\x03\x00\x01\xff"), "a property is not UTF-8"),
        (publish(properties=b"\x03\x00\x09a"), "breaks off"),
        (publish(properties=b"\x26\x00\x01a"), "breaks off"),
        (publish(properties=b"\x0b\x80"), "breaks off"),
        (publish(properties=b"\x02\x00"), "breaks off"),
        (publish(properties=b"\x7f"), "there is no property 0x7f"),
        (publish(properties=b"\x11\x00\x00\x00\x01"), "a property is wrong"),
        (publish(properties=b"\x23\x00\x00"), "a property is wrong"),
    ],
)
def test_a_publish_whose_head_holds_is_a_message_with_a_problem(data, problem):
    """It keeps its packet id and payload, so that it can be a dead letter and be acknowledged; the next one is read."""
    reader = PacketReader(payload_bytes_max=PAYLOAD_MAX)
    reader.feed(data + publish(payload=b"next"))
    first, second = read_all(reader)
    assert problem in first.problem
    assert (first.packet_id, first.payload, first.size_bytes) == (7, b"x", 1)
    assert (second.payload, second.problem) == (b"next", "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x00", "PacketType"),
        (b"\x36\x05\x00\x01t\x00\x01", "does not fit"),
        (b"\x32\x01\x00", "without a topic"),
        (b"\x32\x04\x00\x09t\x00", "does not fit"),
        (publish(packet_id=b"\x00\x00"), "packet id 0"),
        (publish(topic=b""), "topic alias"),
        (b"\x30\x05\x00\x01t\x09x", "longer than their PUBLISH"),
        (b"\x30\x07\x00\x01t\xff\xff\xff\xff", "is no number"),
        (b"\x20\xff\xff\xff\xff\x01", "is no number"),
        (b"\x20\x83\x00\x00\x00\x00", "is no number"),
        (b"\x82\x02\x00\x01", "no broker sends"),
        (b"\x20\x02\x00\x00", "Missing property length"),
        (b"\x20\x07\x00\x00\x04\x1f\x00\x01\xff", "not UTF-8"),
        (b"\x90\x04\x00\x01\x05\x01", "break off"),
        (b"\x20" + varint(PROPERTIES_BYTES_MAX + 2 * PAYLOAD_MAX), "a packet of type 2 with"),
    ],
)
def test_what_can_not_be_gone_on_from_is_malformed(data, reason):
    """Each says what is wrong."""
    reader = PacketReader(payload_bytes_max=PAYLOAD_MAX)
    reader.feed(data)
    (found,) = read_all(reader)
    assert isinstance(found, Malformed)
    assert reason in found.reason


@pytest.mark.parametrize("properties", [b"", b"\x26\x00\x01a" + b"\xff\xff" + b"v" * 65_535])
def test_of_a_publish_that_is_too_large_the_head_is_kept_and_the_rest_let_go(properties):
    """Never more is held than the largest packet that may be; the true size is told, and what follows is read."""
    payload = b"p" * 1_000_000
    data = publish(payload=payload, properties=properties) + publish(payload=b"next")
    reader = PacketReader(payload_bytes_max=PAYLOAD_MAX)
    found, held = [], 0
    for at in range(0, len(data), CHUNK):
        reader.feed(data[at : at + CHUNK])
        held = max(held, reader.held_bytes)
        found += read_all(reader)
    large, after = found
    assert (large.packet_id, large.size_bytes) == (7, 1_000_000)
    assert len(large.payload) <= DEADLETTER_PAYLOAD_BYTES_MAX
    assert payload.startswith(large.payload)
    assert "at most" in large.problem
    assert after.payload == b"next"
    assert held <= PROPERTIES_BYTES_MAX + PAYLOAD_MAX + CHUNK
    assert reader.held_bytes <= CHUNK


def test_a_packet_that_comes_byte_by_byte_costs_no_more_than_its_bytes():
    """A broker that dribbles does not make the reader copy what it holds each time."""
    data = publish(payload=b"p" * PAYLOAD_MAX)
    reader = PacketReader(payload_bytes_max=PAYLOAD_MAX)
    for at in range(len(data) - 1):
        reader.feed(data[at : at + 1])
        assert reader.next() is None
        assert reader.held_bytes == at + 1
    reader.feed(data[-1:])
    assert reader.next().payload == b"p" * PAYLOAD_MAX

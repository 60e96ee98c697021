"""engine.intake.mqtt5client: what a real broker does not show, before a transport that records what is done to it.

What both clients have in common is proved by tests/intake/test_mqtt.py against real brokers.
"""

import asyncio

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.intake import mqtt5client
from engine.intake.connection import LinkError, Terms, Will
from engine.intake.mqtt5client import REQUESTS_MAX, SILENT_BEATS_MAX, Mqtt5Client
from tests.intake.test_packets import bend, publish, streams

CONNACK = mqtt5.ConnAckPacket().write()


class Wire(asyncio.Transport):
    """A connection that goes nowhere."""

    def __init__(self):
        super().__init__()
        self.written = []
        self.reads = True
        self.closed = False

    def write(self, data):
        self.written.append(bytes(data))

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def pause_reading(self):
        self.reads = False

    def resume_reading(self):
        self.reads = True

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = True

    def packets(self):
        """All that was written, read back."""
        data, found = memoryview(b"".join(self.written)), []
        while data:
            packet, size = mqtt5.read(data)
            found.append(packet)
            data = data[size:]
        return found


def make(**terms):
    """A client on a wire that has said CONNECT, and the messages it hands over."""
    taken = []
    given = {
        "host": "127.0.0.1",
        "port": 1,
        "client_id": "halon",
        "version5": True,
        "keepalive_s": 30,
        "session_expiry_s": 60,
        "receive_max": 10,
        "payload_bytes_max": 1_000,
        **terms,
    }
    client = Mqtt5Client(Terms(**given), taken.append)
    client._hello = client._connect()
    wire = Wire()
    client.connection_made(wire)
    return client, wire, taken


def scenario(test):
    """Run an async test on a loop of its own."""

    def run():
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def turn(times=3):
    for _ in range(times):
        await asyncio.sleep(0)


@scenario
async def test_connect_asks_for_the_session_and_says_every_term():
    """Clean start is never asked for; window, expiry, sizes, will and papers are in the CONNECT."""
    _, wire, _ = make(
        username="u", password="p", packet_bytes_max=5_000, receive_max=70_000, will=Will("halon/status", b"lost")
    )
    (hello,) = wire.packets()
    assert (hello.client_id, hello.clean_start, hello.session_expiry_interval) == ("halon", False, 60)
    assert (hello.keep_alive, hello.receive_max, hello.max_packet_size) == (30, 65_535, 5_000)
    assert (hello.username, hello.password, hello.topic_alias_max) == ("u", b"p", 0)
    assert (hello.will.topic, hello.will.payload, hello.will.retain) == ("halon/status", b"lost", True)


@scenario
async def test_acknowledgements_of_a_batch_leave_in_one_write_and_in_order():
    """One system call for hundreds of messages."""
    client, wire, taken = make()
    client.data_received(CONNACK + b"".join(publish(packet_id=bytes([0, n])) for n in range(1, 101)))
    before = len(wire.written)
    client.acknowledge([each.packet_id for each in taken])
    assert len(wire.written) == before + 1
    assert [each.packet_id for each in wire.packets()[1:]] == list(range(1, 101))


@scenario
async def test_a_pause_in_the_midst_of_a_read_hands_over_nothing_more():
    """Not one message past the limit, though the bytes of others are here already; resume goes on with those."""
    taken = []
    client, wire, _ = make()
    client._sink = lambda message: (taken.append(message), len(taken) == 3 and client.pause_reading())
    client.data_received(CONNACK + b"".join(publish(payload=b"%d" % n) for n in range(9)))
    assert [each.payload for each in taken] == [b"0", b"1", b"2"]
    assert (wire.reads, client.paused) == (False, True)
    client.resume_reading()
    await turn()
    assert [each.payload for each in taken] == [b"%d" % n for n in range(9)]
    assert wire.reads is True


@scenario
async def test_the_connack_is_read_in_any_case():
    """A door that is paused from the start still comes up; its messages wait."""
    client, wire, taken = make()
    client.pause_reading()
    assert wire.reads is True
    client.data_received(CONNACK + publish())
    assert (client._connected.done(), taken, wire.reads) == (True, [], False)


@scenario
async def test_a_broker_that_takes_no_acknowledgements_is_read_no_further():
    """A full buffer of what is to be written stops the reading: neither side piles up."""
    client, wire, taken = make()
    client.data_received(CONNACK)
    client.pause_writing()
    assert (wire.reads, client.paused) == (False, True)
    client.data_received(publish())
    assert taken == []
    client.resume_writing()
    await turn()
    assert (len(taken), wire.reads) == (1, True)


@scenario
async def test_qos_2_is_taken_like_qos_1_with_its_own_handshake():
    """PUBREC only when it is acknowledged, PUBCOMP at once; what was subscribed at QoS 2 long ago does not break us."""
    client, wire, taken = make()
    client.data_received(CONNACK + publish(first=0x34))
    assert (taken[0].qos, len(wire.written)) == (2, 1)
    client.acknowledge([7])
    assert wire.packets()[-1] == mqtt5.PubRecPacket(7)
    client.data_received(mqtt5.PubRelPacket(7).write())
    assert wire.packets()[-1] == mqtt5.PubCompPacket(7)
    client.data_received(publish())
    client.acknowledge([7])
    assert wire.packets()[-1] == mqtt5.PubAckPacket(7)


@pytest.mark.parametrize(
    ("data", "problem", "code"),
    [
        (b"\x00\x00", "unreadable packet", 0x81),
        (publish(topic=b""), "topic alias", 0x94),
        (publish(), "before the broker's CONNACK", 0x82),
        (mqtt5.PingRespPacket().write(), "else than a CONNACK", 0x82),
        (CONNACK + CONNACK, "unexpected packet: ConnAckPacket", 0x82),
        (CONNACK + mqtt5.PingReqPacket().write(), "unexpected packet: PingReqPacket", 0x82),
        (
            mqtt5.ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode.BANNED, reason_str="go").write(),
            r"Banned \(go\)",
            None,
        ),
        (
            CONNACK + mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER).write(),
            "Session taken over",
            None,
        ),
    ],
)
def test_what_the_broker_may_not_say_ends_the_connection_with_its_reason(data, problem, code):
    """The broker is told the code, the door the reason; nothing more is taken in."""

    async def test():
        client, wire, taken = make()
        client.data_received(data)
        assert client.lost
        assert wire.closed
        with pytest.raises(LinkError, match=problem):
            await client.wait_lost()
        last = wire.packets()[-1]
        if code is None:
            assert isinstance(last, mqtt5.ConnectPacket)
        else:
            assert last.reason_code.value == code
        client.data_received(publish())
        assert taken == []

    asyncio.run(test())


@settings(max_examples=150)
@given(
    st.booleans(),
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda stream, edits: bytes(bend(stream, edits)),
            streams,
            st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
        ),
    ),
)
def test_any_bytes_of_a_broker_are_messages_or_a_reason_to_end(connected, data):
    """No exception reaches the event loop; what ended says why; what goes on can still acknowledge all it took."""

    async def test():
        client, wire, taken = make()
        client.data_received((CONNACK if connected else b"") + data)
        client.acknowledge([each.packet_id for each in taken if each.packet_id])
        assert client._reader.held_bytes <= len(data) + len(CONNACK)
        if client.lost:
            with pytest.raises(LinkError, match=r"."):
                await client.wait_lost()
        client.drop()
        assert wire.packets()

    asyncio.run(test())


@scenario
async def test_a_broker_that_falls_silent_is_given_up():
    """Half-open: pings go out, no byte comes back, and after some beats the connection is called lost."""
    client, wire, _ = make()
    client.data_received(CONNACK)
    client._on_beat()
    for _ in range(SILENT_BEATS_MAX - 1):
        client._on_beat()
        assert not client.lost
    client._on_beat()
    assert client.lost
    assert sum(isinstance(each, mqtt5.PingReqPacket) for each in wire.packets()) >= SILENT_BEATS_MAX - 1
    with pytest.raises(LinkError, match="does not answer to pings"):
        await client.wait_lost()


@scenario
async def test_silence_while_the_socket_is_left_unread_means_nothing():
    """The answer to a ping stands behind unread messages; pings go out all the same, for the broker's sake."""
    client, wire, _ = make()
    client.data_received(CONNACK)
    client.pause_reading()
    for _ in range(10):
        client._on_beat()
    assert not client.lost
    assert sum(isinstance(each, mqtt5.PingReqPacket) for each in wire.packets()) >= 9
    client.drop()


@scenario
async def test_no_ping_where_both_sides_speak():
    """Traffic both ways is a sign of life by itself."""
    client, wire, _ = make()
    client.data_received(CONNACK)
    client._on_beat()
    for _ in range(5):
        client.data_received(publish())
        client.acknowledge([7])
        client._on_beat()
    assert not any(isinstance(each, mqtt5.PingReqPacket) for each in wire.packets())
    client.drop()


@scenario
async def test_the_brokers_own_keepalive_and_limits_hold():
    """CONNACK may shorten the keepalive, bound the size of packets and refuse to keep messages."""
    client, _, _ = make()
    client.data_received(mqtt5.ConnAckPacket(server_keep_alive=4, max_packet_size=40, retain_available=False).write())
    assert client._beat_every_s == 2
    with pytest.raises(LinkError, match="no retained"):
        await client.publish("t", b"x", retain=True)
    with pytest.raises(LinkError, match="40 bytes at most"):
        await client.publish("t", b"x" * 50, retain=False)
    client.drop()


@scenario
async def test_a_publication_ends_with_the_brokers_word_or_the_end_of_the_connection():
    """Taken, refused, lost: who published knows which; the number of those that wait is bounded."""
    client, _, _ = make()
    client.data_received(CONNACK)
    loop = asyncio.get_running_loop()
    waiting = [loop.create_task(client.publish("t", b"x", retain=False)) for _ in range(REQUESTS_MAX)]
    await turn()
    with pytest.raises(LinkError, match="wait for the broker's answer already"):
        await client.publish("t", b"x", retain=False)
    client.data_received(mqtt5.PubAckPacket(1).write())
    client.data_received(mqtt5.PubAckPacket(2, reason_code=mqtt5.PubAckReasonCode.NOT_AUTHORIZED).write())
    client.data_received(mqtt5.PubAckPacket(999).write())
    await turn()
    client.connection_lost(ConnectionResetError("reset by peer"))
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert ends[0] is None
    assert "refuses `t`: Not authorized" in str(ends[1])
    assert {str(each) for each in ends[2:]} == {"reset by peer"}


@scenario
async def test_what_does_not_fit_into_mqtt_is_said():
    """A text that no packet can carry is the door's problem, not a crash."""
    client, _, _ = make()
    client.data_received(CONNACK)
    with pytest.raises(LinkError, match="can't be said in MQTT 5"):
        await client.subscribe_all(["é" * 40_000])
    with pytest.raises(LinkError, match="can't be said in MQTT 5"):
        await client.publish("\ud800", b"x", retain=False)
    with pytest.raises(LinkError, match="can't be said in MQTT 5"):
        make(username="é" * 40_000)
    client.drop()


@scenario
async def test_a_programmers_error_behind_a_message_is_not_taken_for_a_lost_connection():
    """What the sink raises comes out of `wait_lost` as it is, and so ends the daemon visibly."""
    client, _, _ = make()
    client.data_received(CONNACK)
    client.connection_lost(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        await client.wait_lost()


@pytest.mark.parametrize("answers", [False, True], ids=["never answers", "never speaks of the subscription"])
def test_a_broker_that_accepts_and_is_silent_is_a_problem_in_time(answers, monkeypatch):
    """Half-open from the start: the time for an answer is bounded, over a real socket."""

    async def test():
        gone = asyncio.Event()

        async def mute(reader, writer):
            if answers:
                writer.write(CONNACK)
            await reader.read()
            writer.close()
            await writer.wait_closed()
            gone.set()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        async with server:
            terms = Terms(
                host="127.0.0.1",
                port=server.sockets[0].getsockname()[1],
                client_id="halon",
                version5=True,
                keepalive_s=30,
                session_expiry_s=60,
                receive_max=10,
                payload_bytes_max=1_000,
            )
            client = Mqtt5Client(terms, lambda message: None)
            try:
                if answers:
                    await client.open()
                    monkeypatch.setattr(mqtt5client, "ANSWER_TIMEOUT_S", 0.1)
                    with pytest.raises(LinkError, match="does not answer in time"):
                        await client.subscribe_all(["t"])
                else:
                    monkeypatch.setattr(mqtt5client, "ANSWER_TIMEOUT_S", 0.1)
                    with pytest.raises(LinkError, match="does not answer to the connection"):
                        await client.open()
            finally:
                await client.close()
            await gone.wait()

    asyncio.run(test())

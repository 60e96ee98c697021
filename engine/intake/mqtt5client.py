"""MQTT 5 on the event loop itself: an `asyncio.Protocol` over the codec `mqtt5`, for rates that aiomqtt can't take.

One read of the socket brings many messages, and the PUBACKs of one batch leave in one write; no thread, no task of its
own, and nothing waits in a queue here: what is not handed over stays unread. It is an `engine.intake.connection`
Connection; `engine.intake.mqtt` is the caller.

A QoS 2 message (of a subscription that an older session left behind) is taken like QoS 1: PUBREC after the commit,
PUBCOMP at once. Its second delivery is a duplicate like any other.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import mqtt5

from engine.intake.connection import (
    ANSWER_TIMEOUT_S,
    CLOSE_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    LinkError,
    Message,
    OnMessage,
    Terms,
)
from engine.intake.packets import Malformed, PacketReader

BEATS_PER_KEEPALIVE = 2
SILENT_BEATS_MAX = 3
"""So many beats without a byte of the broker, though it was asked by a PINGREQ: it is gone."""
WRITE_BYTES_MAX = 65_536
"""Past this the broker does not take our acknowledgements: nothing more is read until it does."""
REQUESTS_MAX = 16
"""Subscriptions and publications that wait for their answer."""
_PACKET_ID_MAX = 65_535
_RECEIVE_MAX = 65_535
_REFUSED = 0x80

_Answer = mqtt5.SubAckPacket | mqtt5.PubAckPacket


class Mqtt5Client(asyncio.Protocol):
    """One connection: `open` it, `acknowledge` packet ids, `pause_reading`, `wait_lost`, `close` it. Not reusable."""

    def __init__(self, terms: Terms, on_message: OnMessage) -> None:
        self._terms = terms
        self._sink = on_message
        self._loop = asyncio.get_running_loop()
        self._reader = PacketReader(payload_bytes_max=terms.payload_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._problem: BaseException | None = None
        self._answers: dict[int, asyncio.Future[_Answer]] = {}
        self._packet_id = 0
        self._packet_bytes_max: int | None = None
        self._retains = True
        self._unacknowledged = 0
        self._exactly_once: set[int] = set()
        self._paused = False
        self._write_full = False
        self._hello = b""
        self._beat_every_s = max(1, terms.keepalive_s) / BEATS_PER_KEEPALIVE
        self._beat: asyncio.TimerHandle | None = None
        self._heard = self._wrote = False
        self._silent_beats = 0

    @property
    def paused(self) -> bool:
        """Whether the socket is left unread."""
        return self._paused or self._write_full

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self._ended.done()

    async def open(self) -> None:
        """Connect and wait for the broker's CONNACK. Raises LinkError or OSError with the reason."""
        terms = self._terms
        self._hello = self._connect()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S * (2 if terms.tls else 1)):
                await self._loop.create_connection(
                    lambda: self,
                    terms.host,
                    terms.port,
                    ssl=terms.tls,
                    ssl_handshake_timeout=CONNECT_TIMEOUT_S if terms.tls else None,
                    ssl_shutdown_timeout=CLOSE_TIMEOUT_S if terms.tls else None,
                )
        except TimeoutError:
            raise LinkError("the broker can't be reached in time") from None
        except UnicodeError as error:
            raise LinkError(f"`{terms.host}` is no name of a host: {error}") from error
        await asyncio.wait(
            {self._connected, self._ended}, timeout=ANSWER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not self._connected.done():
            self._fail("the broker does not answer to the connection")
            self._raise_problem()

    async def subscribe_all(self, filters: Sequence[str]) -> list[tuple[str, int]]:
        """Subscribe with QoS 1; each filter with the broker's answer, as `Connection` says."""
        packet_id = self._next_packet_id()
        with _sayable():
            wanted = [
                mqtt5.TopicFilter(
                    each,
                    max_qos=mqtt5.QoS.AT_LEAST_ONCE,
                    retain_as_published=False,
                    # Retained messages only for a new subscription, not at every reconnection
                    retain_handling=mqtt5.RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS,
                )
                for each in filters
            ]
        answer = await self._ask(
            packet_id, mqtt5.SubscribePacket(packet_id, wanted).write(), ANSWER_TIMEOUT_S, patient=True
        )
        if not isinstance(answer, mqtt5.SubAckPacket) or len(answer.reason_codes) != len(filters):
            raise LinkError("the broker's answer does not fit the subscription")
        return [(each, code.value) for each, code in zip(filters, answer.reason_codes, strict=True)]

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send the PUBACKs of these messages in one write; on a lost connection nothing is sent."""
        self._unacknowledged -= len(packet_ids)
        self._write(b"".join([self._acknowledgement(each) for each in packet_ids]))

    def pause_reading(self) -> None:
        """Hand over no further message and leave the socket unread."""
        self._paused = True
        self._steer()

    def resume_reading(self) -> None:
        """The end of `pause_reading`."""
        if self._paused:
            self._paused = False
            self._loop.call_soon(self._go_on)

    async def wait_lost(self, timeout_s: float | None = None) -> bool:
        """Wait until the connection is lost or the time has passed (False). Raises the reason of the loss."""
        await asyncio.wait({self._ended}, timeout=timeout_s)
        if not self._ended.done():
            return False
        self._raise_problem()
        return True

    async def publish(self, topic: str, payload: bytes, *, retain: bool, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Publish with QoS 1; returns once the broker has it."""
        if retain and not self._retains:
            raise LinkError("the broker keeps no retained messages")
        packet_id = self._next_packet_id()
        with _sayable():
            written = mqtt5.PublishPacket(
                topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=retain, packet_id=packet_id
            ).write()
        if self._packet_bytes_max is not None and len(written) > self._packet_bytes_max:
            raise LinkError(f"the broker takes packets of {self._packet_bytes_max} bytes at most")
        answer = await self._ask(packet_id, written, timeout_s, patient=False)
        if not isinstance(answer, mqtt5.PubAckPacket) or answer.reason_code.value >= _REFUSED:
            raise LinkError(f"the broker refuses `{topic}`: {_reason(answer)}")

    async def close(self) -> None:
        """Say goodbye where the connection stands, and let go of the socket in any case."""
        try:
            if self._transport is not None and self._connected.done() and not self._ended.done():
                self._write(mqtt5.DisconnectPacket().write())
                self._transport.close()
                await asyncio.wait({self._ended}, timeout=CLOSE_TIMEOUT_S)
        finally:
            self.drop()

    def drop(self) -> None:
        """Let go of the socket without a goodbye, as a crash would: the last will goes out."""
        if self._beat is not None:
            self._beat.cancel()
        if self._transport is not None:
            self._transport.abort()

    # --- What asyncio calls -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT and begin to watch the keepalive."""
        assert isinstance(transport, asyncio.Transport), "a TCP or TLS connection"
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BYTES_MAX)
        self._write(self._hello)
        self._beat = self._loop.call_later(self._beat_every_s, self._on_beat)

    def data_received(self, data: bytes) -> None:
        """Take what came, as far as there is room for it."""
        self._heard = True
        self._reader.feed(data)
        self._go_on()

    def pause_writing(self) -> None:
        """The broker takes no acknowledgements: take no messages."""
        self._write_full = True
        self._steer()

    def resume_writing(self) -> None:
        """It does again."""
        self._write_full = False
        self._loop.call_soon(self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever waits for the broker ends here, with the first reason that is known."""
        if self._beat is not None:
            self._beat.cancel()
        if self._problem is None:
            self._problem = exc or LinkError("the connection was lost")
        if not self._ended.done():
            self._ended.set_result(None)

    # --- Below ------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Hand over packet after packet; the CONNACK in any case, the others while there is room for messages."""
        while self._problem is None and not (self.paused and self._connected.done()):
            packet = self._reader.next()
            if packet is None:
                break
            if isinstance(packet, Message):
                if not self._connected.done():
                    self._fail("a message before the broker's CONNACK", mqtt5.DisconnectReasonCode.PROTOCOL_ERROR)
                    return
                self._unacknowledged += packet.packet_id > 0
                if packet.qos == mqtt5.QoS.EXACTLY_ONCE:
                    self._exactly_once.add(packet.packet_id)
                self._sink(packet)
            elif isinstance(packet, Malformed):
                self._fail(f"unreadable packet: {packet.reason}", packet.code)
            else:
                self._take(packet)
        self._steer()

    def _take(self, packet: mqtt5.Packet) -> None:
        if isinstance(packet, mqtt5.ConnAckPacket) and not self._connected.done():
            self._accept(packet)
            return
        match packet:
            case _ if not self._connected.done():
                self._fail("something else than a CONNACK came first", mqtt5.DisconnectReasonCode.PROTOCOL_ERROR)
            case mqtt5.SubAckPacket() | mqtt5.PubAckPacket():
                answer = self._answers.get(packet.packet_id)
                if answer is not None and not answer.done():
                    answer.set_result(packet)
            case mqtt5.PubRelPacket():
                self._write(mqtt5.PubCompPacket(packet.packet_id).write())
            case mqtt5.PingRespPacket():
                pass
            case mqtt5.DisconnectPacket():
                self._fail(f"the broker ended the connection: {_reason(packet)}", None)
            case _:
                name = type(packet).__name__
                self._fail(f"unexpected packet: {name}", mqtt5.DisconnectReasonCode.PROTOCOL_ERROR)

    def _accept(self, packet: mqtt5.ConnAckPacket) -> None:
        if packet.reason_code.value:  # the code itself is true, whatever it says
            self._fail(f"the broker refuses the connection: {_reason(packet)}", None)
            return
        self._packet_bytes_max = packet.max_packet_size
        self._retains = packet.retain_available
        if packet.server_keep_alive:
            self._beat_every_s = packet.server_keep_alive / BEATS_PER_KEEPALIVE
        self._connected.set_result(None)

    def _connect(self) -> bytes:
        terms = self._terms
        will = terms.will
        with _sayable():
            return mqtt5.ConnectPacket(
                terms.client_id,
                username=terms.username,
                password=terms.password.encode() if terms.password is not None else None,
                # The session outlives the connection: the broker keeps what is not acknowledged
                clean_start=False,
                session_expiry_interval=terms.session_expiry_s,
                keep_alive=terms.keepalive_s,
                receive_max=min(terms.receive_max, _RECEIVE_MAX),
                max_packet_size=terms.packet_bytes_max or None,
                will=mqtt5.Will(will.topic, payload=will.payload, qos=mqtt5.QoS.AT_LEAST_ONCE, retain=True)
                if will
                else None,
            ).write()

    async def _ask(self, packet_id: int, packet: bytes, timeout_s: float, *, patient: bool) -> _Answer:
        """Send a packet and wait for its answer; who is patient waits longer where messages stand before that."""
        answer: asyncio.Future[_Answer] = self._loop.create_future()
        self._answers[packet_id] = answer
        try:
            self._write(packet)
            while not answer.done():
                was_busy = patient and (self.paused or self._unacknowledged > 0)
                waiting: set[asyncio.Future[Any]] = {answer, self._ended}
                await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    break
                if self._ended.done():
                    self._raise_problem()
                if not was_busy and not (patient and (self.paused or self._unacknowledged)):
                    raise LinkError("the broker does not answer in time")
            return answer.result()
        finally:
            del self._answers[packet_id]

    def _next_packet_id(self) -> int:
        if len(self._answers) >= REQUESTS_MAX:
            raise LinkError(f"{REQUESTS_MAX} requests wait for the broker's answer already")
        while True:
            self._packet_id = self._packet_id % _PACKET_ID_MAX + 1
            if self._packet_id not in self._answers:
                return self._packet_id

    def _acknowledgement(self, packet_id: int) -> bytes:
        if packet_id in self._exactly_once:
            self._exactly_once.discard(packet_id)
            return mqtt5.PubRecPacket(packet_id).write()
        return mqtt5.PubAckPacket(packet_id).write()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._ended.done() and self._problem is None:
            self._wrote = True
            self._transport.write(data)

    def _steer(self) -> None:
        """Read the socket or leave it."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.paused and self._connected.done():
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _on_beat(self) -> None:
        """Ask the broker for a sign of life where nothing else went between the two; give it up where none comes.

        While the socket is left unread, hearing nothing is no sign of a dead broker.
        """
        self._silent_beats = 0 if self._heard or self.paused else self._silent_beats + 1
        if self._silent_beats >= SILENT_BEATS_MAX:
            self._fail("the broker does not answer to pings")
            return
        if self._connected.done() and not (self._heard and self._wrote):
            self._write(mqtt5.PingReqPacket().write())
        self._heard = self._wrote = False
        self._beat = self._loop.call_later(self._beat_every_s, self._on_beat)

    def _fail(self, why: str, code: mqtt5.DisconnectReasonCode | None = None) -> None:
        """End the connection because of this; with a code the broker is told."""
        if self._problem is not None:
            return
        if code is not None:
            self._write(mqtt5.DisconnectPacket(reason_code=code).write())
        self._problem = LinkError(why)
        if self._transport is not None:
            # What is written goes out where the broker takes it; `close` lets go of the rest
            self._transport.close()
        if not self._ended.done():
            self._ended.set_result(None)

    def _raise_problem(self) -> None:
        problem = self._problem or LinkError("the connection was lost")
        if isinstance(problem, LinkError | OSError):
            raise LinkError(str(problem) or type(problem).__name__) from problem
        raise problem  # a programmer's error in what the socket's bytes set off


@contextlib.contextmanager
def _sayable() -> Iterator[None]:
    """A text of the config that does not fit into MQTT is a problem to be shown."""
    try:
        yield
    except ValueError as error:
        raise LinkError(f"can't be said in MQTT 5: {error}") from error


def _reason(packet: mqtt5.ConnAckPacket | mqtt5.DisconnectPacket | _Answer) -> str:
    """What the broker gives as its reason, in words."""
    codes = packet.reason_codes if isinstance(packet, mqtt5.SubAckPacket) else [packet.reason_code]
    words = ", ".join(code.name.replace("_", " ").capitalize() for code in codes)
    return f"{words} ({packet.reason_str})" if packet.reason_str else words

"""aiomqtt's client, acknowledging only when told to, with reading that can be paused.

aiomqtt 2.5 acknowledges a message on arrival and reads the socket without end; both would lose or hoard messages. What
is needed for it lies below its public surface, so every use of a private name of aiomqtt and paho stands in this file;
`tests/intake/test_manualclient.py` fails where a release of either changes one. It is an `engine.intake.connection`
Connection; `engine.intake.mqtt` is the caller.
"""

import asyncio
import contextlib
import logging
import ssl
import struct
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, TypeVar

import aiomqtt
import msgspec
from paho.mqtt import MQTTException
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from engine.intake.connection import (
    ANSWER_TIMEOUT_S,
    CLOSE_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    LinkError,
    Message,
    OnMessage,
    Terms,
    Topics,
)
from engine.intake.packets import PacketReader, varint

_PACKETS_PER_WAKE_MAX = 64
_UNSPECIFIED = 0x80
_QOS_BITS, _QOS_2 = 0b0110, 0b0100

T = TypeVar("T")

# What paho logs is the program's own business; the door logs what an operator can act on
_SILENT = logging.getLogger("engine.intake.paho")
_SILENT.setLevel(logging.CRITICAL + 1)


class ManualClient(aiomqtt.Client):
    """One connection: `open` it, `acknowledge` packet ids, `pause_reading`, `wait_lost`, `close` it. Not reusable."""

    def __init__(self, terms: Terms, on_message: OnMessage) -> None:
        version5 = terms.version5
        properties = None
        if version5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no annotation here
            properties.SessionExpiryInterval = terms.session_expiry_s
            properties.ReceiveMaximum = min(terms.receive_max, 65_535)
            if terms.packet_bytes_max:
                properties.MaximumPacketSize = terms.packet_bytes_max
        super().__init__(
            terms.host,
            terms.port,
            identifier=terms.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if version5 else aiomqtt.ProtocolVersion.V311,
            # The session outlives the connection: the broker keeps what is not acknowledged
            clean_session=None if version5 else False,
            clean_start=False if version5 else MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
            keepalive=terms.keepalive_s,
            username=terms.username,
            password=terms.password,
            tls_context=terms.tls,
            will=aiomqtt.Will(terms.will.topic, terms.will.payload, qos=1, retain=True) if terms.will else None,
            timeout=ANSWER_TIMEOUT_S,
            logger=_SILENT,
        )
        self._version5 = version5
        self._sink = on_message
        self._payload_bytes_max = terms.payload_bytes_max
        self._topics = Topics()
        self._fd = -1
        self._paused = False
        self._abandoned = False
        self._unacknowledged = 0
        self._last_packet_id = 0
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.manual_ack_set(on=True)
        self._exactly_once: set[int] = set()
        self._read_publish = self._client._handle_publish  # noqa: SLF001
        self._client._handle_publish = self._handle_publish  # type: ignore[method-assign]  # noqa: SLF001
        self._client._handle_pubrel = self._handle_pubrel  # type: ignore[method-assign]  # noqa: SLF001

    @property
    def paused(self) -> bool:
        """Whether the socket is left unread."""
        return self._paused

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        return self._disconnected.done()

    async def open(self) -> None:
        """Connect and wait for the broker's CONNACK. Raises LinkError or OSError with the reason."""
        connecting = self._loop.run_in_executor(None, self._client_connect)
        try:
            with _told():
                await asyncio.shield(connecting)
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await asyncio.wait({self._connected})
                self._connected.result()
        except TimeoutError:
            await self._abandon(connecting)
            raise LinkError("the broker does not answer to the connection") from None
        except BaseException:
            await self._abandon(connecting)
            raise

    async def subscribe_all(self, filters: Sequence[str]) -> list[tuple[str, int]]:
        """Subscribe with QoS 1; each filter with the broker's answer, as `Connection` says."""
        wanted: list[tuple[str, SubscribeOptions]] | list[tuple[str, int]]
        if self._version5:
            # Retained messages only for a new subscription, not at every reconnection
            wanted = [(each, SubscribeOptions(qos=1, retainHandling=1)) for each in filters]
        else:
            wanted = [(each, 1) for each in filters]
        result, packet_id = self._client.subscribe(wanted)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or packet_id is None:
            raise LinkError(f"can't subscribe: {result.name}")
        answered: asyncio.Future[Any] = self._loop.create_future()
        self._pending_subscribes[packet_id] = answered
        try:
            while not answered.done():
                was_busy = self._paused or self._unacknowledged > 0
                await asyncio.wait(
                    {answered, self._disconnected}, timeout=self.timeout, return_when=asyncio.FIRST_COMPLETED
                )
                if self._disconnected.done():
                    raise LinkError("the connection was lost while subscribing")
                if not (answered.done() or was_busy or self._paused or self._unacknowledged):
                    raise LinkError("the broker does not answer to the subscription")
        finally:
            self._pending_subscribes.pop(packet_id, None)
        codes = [getattr(code, "value", code) for code in answered.result()]
        return list(zip(filters, codes, strict=True))

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send the PUBACKs of these messages; on a lost connection nothing is sent and the broker delivers again."""
        for packet_id in packet_ids:
            self._unacknowledged -= 1
            if packet_id in self._exactly_once:
                self._exactly_once.discard(packet_id)
                self._client._send_pubrec(packet_id)  # noqa: SLF001
            else:
                self._client.ack(packet_id, 1)

    def pause_reading(self) -> None:
        """Leave the socket unread: what the broker goes on to send stays in its hands and in the kernel's buffer."""
        if not self._paused:
            self._paused = True
            if self._fd >= 0 and self._connected.done():
                self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """The end of `pause_reading`."""
        if self._paused:
            self._paused = False
            if self._fd >= 0:
                self._loop.add_reader(self._fd, self._read_some)
                self._loop.call_soon(self._read_some)  # for what TLS has decrypted already

    async def wait_lost(self, timeout_s: float | None = None) -> bool:
        """Wait until the connection is lost (True) or the time has passed. Raises the reason of the loss."""
        await asyncio.wait({self._disconnected}, timeout=timeout_s)
        if not self._disconnected.done():
            return False
        error = self._disconnected.exception()
        if isinstance(error, aiomqtt.MqttCodeError) and getattr(error.rc, "value", error.rc) == _UNSPECIFIED:
            # What paho says where the broker did not: "Unspecified error"
            raise LinkError("the connection was lost") from error
        if error is not None:
            raise LinkError(str(error)) from error
        return True

    async def publish(  # type: ignore[override]  # as `Connection` says; aiomqtt's own stays below
        self, topic: str, payload: bytes, *, retain: bool, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        """Publish with QoS 1; returns once the broker has it."""
        with _told():
            await super().publish(topic, payload, qos=1, retain=retain, timeout=timeout_s)

    async def close(self) -> None:
        """Say goodbye where the connection stands (no last will goes out), and let go of the socket in any case."""
        try:
            stands = self._connected.done() and not self._connected.cancelled() and not self._disconnected.done()
            if stands and self._client.disconnect() == MQTTErrorCode.MQTT_ERR_SUCCESS:
                await asyncio.wait({self._disconnected}, timeout=CLOSE_TIMEOUT_S)
        finally:
            self._drop()

    async def _abandon(self, connecting: "asyncio.Future[None]") -> None:
        # The thread can't be stopped: wait for it, or it would leave a connection that takes the session over
        self._abandoned = True
        await asyncio.wait({connecting})
        self._drop()

    def _drop(self) -> None:
        self._client._sock_close()  # noqa: SLF001  # disconnect() alone leaves a half-open socket
        if self._misc_task is not None:
            self._misc_task.cancel()
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()  # seen: asyncio would log it as never retrieved

    # --- Below: what aiomqtt calls on itself, and paho on it --------------------------------------------------------

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109  # aiomqtt's signature
        # Python 3.11's asyncio.wait_for, which aiomqtt uses, can swallow a cancellation
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("the broker does not answer in time") from None

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:  # noqa: ARG002
        topic, problem = self._topics.read(message._topic)  # noqa: SLF001  # paho's own property raises on what is not UTF-8
        content_type, properties = "", ()
        if (given := message.properties) is not None:
            content_type = getattr(given, "ContentType", "")
            properties = tuple(getattr(given, "UserProperty", ()))
        self._hand_over(
            Message(
                topic=topic,
                payload=bytes(message.payload),
                packet_id=message.mid if message.qos else 0,
                size_bytes=len(message.payload),
                qos=message.qos,
                retained=message.retain,
                redelivered=bool(message.dup),
                content_type=content_type,
                properties=properties,
                problem=problem,
            )
        )

    def _handle_publish(self) -> MQTTErrorCode:
        """paho's reading of a PUBLISH, or ours where it gives up: a refusal would have the message come for ever.

        QoS 2 (of a subscription that an older session left behind) is taken like QoS 1, with PUBREC as its
        acknowledgement: paho would send that at once and keep the message in memory only.
        """
        packet = self._client._in_packet  # noqa: SLF001
        exactly_once = packet["command"] & _QOS_BITS == _QOS_2
        if exactly_once:
            packet["command"] ^= _QOS_BITS
        try:
            result = self._read_publish()
        except (MQTTException, ValueError, IndexError, KeyError, struct.error) as error:
            if not self._version5:
                raise
            reader = PacketReader(payload_bytes_max=self._payload_bytes_max)
            reader.feed(bytes([packet["command"]]) + varint(packet["remaining_length"]) + bytes(packet["packet"]))
            message = reader.next()
            if not isinstance(message, Message):
                raise
            self._hand_over(
                msgspec.structs.replace(message, problem=message.problem or f"a property is wrong: {error!r}")
            )
            result = MQTTErrorCode.MQTT_ERR_SUCCESS
        if exactly_once:
            self._exactly_once.add(self._last_packet_id)
        return result

    def _handle_pubrel(self) -> MQTTErrorCode:
        return self._client._send_pubcomp(int.from_bytes(self._client._in_packet["packet"][:2]))  # noqa: SLF001

    def _hand_over(self, message: Message) -> None:
        self._unacknowledged += message.packet_id > 0
        self._last_packet_id = message.packet_id
        self._sink(message)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        if self._connected.done():
            super()._on_disconnect(client, userdata, flags, reason_code, properties)
        else:
            # aiomqtt would go on to wait for a CONNACK that can't come any more
            self._connected.set_exception(aiomqtt.MqttError(f"the broker closed the connection: {reason_code}"))

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002
        # Called in the thread that connects
        if not self._abandoned:
            self._loop.call_soon_threadsafe(self._start_reading, sock)

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        if not self._abandoned:
            super()._on_socket_register_write(client, userdata, sock)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        self._fd = -1
        super()._on_socket_close(client, userdata, sock)

    def _start_reading(self, sock: Any) -> None:
        if self._abandoned or sock.fileno() < 0:
            return
        self._fd = sock.fileno()
        self._misc_task = self._loop.create_task(self._misc_loop(), name="mqtt keepalive")
        self._loop.add_reader(self._fd, self._read_some)

    def _read_some(self) -> None:
        """Read packets until the socket is empty, paused or has had its turn; each `loop_read` reads at most one."""
        client = self._client
        try:
            for _ in range(_PACKETS_PER_WAKE_MAX):
                if self._fd < 0:
                    return
                if self._paused and self._connected.done():
                    # The CONNACK is read in any case; whoever paused before it stops here
                    self._loop.remove_reader(self._fd)
                    return
                before = client._last_bytes_received  # noqa: SLF001
                client.loop_read()
                if client._last_bytes_received == before and not self._bytes_in_tls():  # noqa: SLF001
                    return
        except Exception as error:  # noqa: BLE001  # whatever it is, this connection is unusable; aiomqtt does the same
            waiting = self._disconnected if self._connected.done() else self._connected
            if not waiting.done():
                waiting.set_exception(aiomqtt.MqttError(f"unreadable packet: {error!r}"))
            return
        if self._bytes_in_tls():
            self._loop.call_soon(self._read_some)

    def _bytes_in_tls(self) -> bool:
        """Whether decrypted bytes wait that no selector sees."""
        sock: Any = self._client.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    async def _misc_loop(self) -> None:
        while self._client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if self._paused:
                # The answer to a ping stands behind unread messages: not hearing it is no sign of a dead broker
                self._client._ping_t = 0  # noqa: SLF001
            await asyncio.sleep(1)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What aiomqtt raises, as the door knows it."""
    try:
        yield
    except aiomqtt.MqttError as error:
        raise LinkError(str(error)) from error
    except ValueError as error:
        raise LinkError(f"can't be said in MQTT: {error}") from error

"""One MQTT broker as a door: messages of its topics to `Received`, acknowledged after the pipeline's commit.

QoS 1, a persistent session under a fixed client id, manual acknowledgement, and at most `in_flight_max` messages
unacknowledged: past that the socket is not read, so that the broker holds what is not committed. A broker that is down
is tried again for ever, and stops nothing else. `engine.app` builds one door per `[[mqtt]]` and runs it; which client
holds the connection is the config's choice.
"""

import contextlib
import ssl
from collections.abc import Iterable

import msgspec
import structlog

from engine.clock import SECOND_US, Clock
from engine.cloudevents import SPEC_VERSION
from engine.config import IntakeConfig, MqttConfig
from engine.intake.backoff import Backoff
from engine.intake.connection import CLOSE_TIMEOUT_S, Connection, LinkError, Message, Terms, Will, is_refused
from engine.intake.contract import DEADLETTER_PAYLOAD_BYTES_MAX, Inbox, IntakeStatus, PublishError, Received
from engine.intake.manualclient import ManualClient
from engine.intake.mqtt5client import Mqtt5Client
from engine.intake.window import Window

_STEADY_S = 10.0
"""A connection that lasted this long has proved itself; shorter ones (a client id used twice) let the backoff grow."""
_RESUBSCRIBE_S = 60.0
"""A refused topic is asked for again this often: permissions change without a new connection."""

_log = structlog.get_logger(__name__)


class MqttIntake:
    """The door to one broker. `password` and `tls` are read by the caller, so that a missing file stops the start."""

    def __init__(
        self,
        config: MqttConfig,
        intake: IntakeConfig,
        inbox: Inbox,
        clock: Clock,
        *,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = config.name
        self._config = config
        self._inbox = inbox
        self._clock = clock
        self._password = password
        self._tls = tls
        self._payload_bytes_max = intake.payload_bytes_max
        self._window = Window(count_max=intake.in_flight_max, bytes_max=intake.in_flight_bytes_max)
        self._client: Connection | None = None
        self._connected = False
        self._paused = False
        self._problem = "not connected yet"
        self._received_total = 0
        self._received_bytes_total = 0
        self._acknowledged_total = 0
        self._oversized_total = 0
        self._connects_total = 0

    async def run(self) -> None:
        """Hold the connection until cancelled, then say goodbye to the broker."""
        backoff = Backoff(self._config.reconnect_max / SECOND_US)
        while True:
            began_s = self._clock.monotonic_s()
            try:
                await self._serve_connection()
                self._problem = "the connection ended"
            except (LinkError, OSError) as error:
                self._problem = _reason(error)
            if self._clock.monotonic_s() - began_s >= _STEADY_S:
                backoff.reset()
            wait_s = backoff.next_s()
            _log.warning("broker not connected", door=self.name, problem=self._problem, retry_in_s=round(wait_s, 2))
            await self._clock.sleep_s(wait_s)

    async def acknowledge(self, received: Iterable[Received]) -> None:
        """Send the PUBACKs that are due, in the order of receipt; reading goes on once there is room again."""
        ready: list[int] = []
        for each in received:
            ready += self._window.settle(each.token)
        if ready and self._client is not None:
            self._client.acknowledge(ready)
            self._acknowledged_total += len(ready)
        self._steer_reading()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 over the connection of this door; returns once the broker has it.

        Raises PublishError where there is no connection, or no answer within some seconds.
        """
        if self._client is None or not self._connected:
            raise PublishError(f"broker {self.name}: {self._problem or 'not connected'}")
        try:
            await self._client.publish(topic, payload, retain=retain)
        except LinkError as problem:
            raise PublishError(f"broker {self.name}: {problem}") from problem

    def pause(self) -> None:
        """Leave the socket unread until `resume`."""
        self._paused = True
        self._steer_reading()

    def resume(self) -> None:
        """Read again where there is room."""
        self._paused = False
        self._steer_reading()

    def status(self) -> IntakeStatus:
        """How the door stands; `connected` means that the session is up and its topics are subscribed."""
        return IntakeStatus(
            name=self.name,
            connected=self._connected,
            problem=self._problem,
            paused=self._paused or (self._client is not None and self._client.paused),
            in_flight=self._window.in_flight,
            in_flight_bytes=self._window.in_flight_bytes,
            received_total=self._received_total,
            received_bytes_total=self._received_bytes_total,
            acknowledged_total=self._acknowledged_total,
            stale_total=self._window.stale_total,
            oversized_total=self._oversized_total,
            connects_total=self._connects_total,
        )

    async def _serve_connection(self) -> None:
        """Connect, subscribe, and stay until the connection is lost; raises why."""
        config = self._config
        self._window.begin_connection()
        made = Mqtt5Client if config.client == "mqtt5" else ManualClient
        client: Connection = made(self._terms(), self._take)
        self._client = client
        try:
            self._steer_reading()
            await client.open()
            refused = await self._subscribe(client, [each.filter for each in config.topics])
            self._connected = True
            self._connects_total += 1
            _log.info("broker connected", door=self.name, host=config.host, port=config.port, refused=refused)
            await self._announce(client, "online")
            while not await client.wait_lost(_RESUBSCRIBE_S if refused else None):
                refused = await self._subscribe(client, refused)
        finally:
            was_connected, self._connected = self._connected, False
            try:
                if was_connected and not client.lost:
                    # A DISCONNECT takes the last will back: say it ourselves
                    await self._announce(client, "offline")
            finally:
                self._client = None
                await client.close()

    async def _subscribe(self, client: Connection, filters: list[str]) -> list[str]:
        """Subscribe; the filters that the broker refused. They are the door's problem, the others flow."""
        answers = await client.subscribe_all(filters)
        refused = [each for each, code in answers if is_refused(code)]
        weak = [each for each, code in answers if code == 0]
        problems = [f"the broker refuses the topic `{each}`" for each in refused]
        problems += [f"the broker grants only QoS 0 for `{each}`: messages may be lost" for each in weak]
        self._problem = "; ".join(problems)
        for problem in problems:
            _log.error("subscription", door=self.name, problem=problem)
        return refused

    def _take(self, message: Message) -> None:
        """A message came in, while the event loop reads: account for it and hand it on."""
        payload = message.payload
        if message.size_bytes > self._payload_bytes_max:
            payload = payload[:DEADLETTER_PAYLOAD_BYTES_MAX]
            self._oversized_total += 1
        held = len(payload) + len(message.topic)
        if message.properties:
            held += sum(len(name) + len(value) for name, value in message.properties)
        self._received_total += 1
        self._received_bytes_total += message.size_bytes
        self._inbox.put(
            Received(
                door=self.name,
                token=self._window.add(message.packet_id, size_bytes=held),
                topic=message.topic,
                payload=payload,
                received_us=self._clock.now_us(),
                size_bytes=message.size_bytes,
                content_type=message.content_type,
                properties=message.properties,
                retained=message.retained,
                redelivered=message.redelivered,
                problem=message.problem,
            )
        )
        if self._window.full:
            self._steer_reading()

    def _steer_reading(self) -> None:
        """Read the socket or leave it, by what is in flight and by `pause`."""
        if self._client is None:
            return
        if self._paused or self._window.full:
            self._client.pause_reading()
        elif self._window.eased:
            self._client.resume_reading()

    def _terms(self) -> Terms:
        config = self._config
        return Terms(
            host=config.host,
            port=config.port,
            client_id=config.client_id,
            version5=config.protocol == "5",
            keepalive_s=max(1, config.keepalive // SECOND_US),
            session_expiry_s=config.session_expiry // SECOND_US,
            receive_max=self._window.count_max,
            payload_bytes_max=self._payload_bytes_max,
            packet_bytes_max=config.packet_bytes_max,
            username=config.username or None,
            password=self._password,
            tls=self._tls,
            will=Will(config.status_topic, self._announcement("lost")) if config.status_topic else None,
        )

    async def _announce(self, client: Connection, state: str) -> None:
        """Say how Halon stands, where the config wants it; does without the broker's answer where none comes soon."""
        if self._config.status_topic:
            with contextlib.suppress(LinkError):
                await client.publish(
                    self._config.status_topic, self._announcement(state), retain=True, timeout_s=CLOSE_TIMEOUT_S
                )

    def _announcement(self, state: str) -> bytes:
        client_id = self._config.client_id
        # Without a time: a last will is written at the connection and sent at its end
        return msgspec.json.encode(
            {
                "specversion": SPEC_VERSION,
                "id": f"{client_id}-{state}-{self._clock.now_us()}",
                "source": f"/halon/{client_id}",
                "type": f"halon.daemon.{state}",
                "subject": client_id,
            }
        )


def tls_context(config: MqttConfig) -> ssl.SSLContext | None:
    """The TLS settings of a broker, or None where it is off. Raises OSError where a file can't be used."""
    tls = config.tls
    if not tls.enabled:
        return None
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file or None)
    return context


def _reason(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if isinstance(error, LinkError) else f"{type(error).__name__}: {text}"

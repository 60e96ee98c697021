"""What an MQTT client is to the door that uses it: one connection, acknowledgement by hand, reading that can be paused.

Two clients stand behind it, chosen in config.toml: `engine.intake.manualclient` (aiomqtt) and
`engine.intake.mqtt5client`. One suite, `tests/intake/test_mqtt.py`, holds both to this page against real brokers.
"""

import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.model import Struct

CONNECT_TIMEOUT_S = 5.0
"""For the TCP connection and, again, for the TLS handshake."""
ANSWER_TIMEOUT_S = 10.0
"""For the broker's answer to CONNECT, SUBSCRIBE or PUBLISH."""
CLOSE_TIMEOUT_S = 2.0
"""For a goodbye."""
TOPICS_CACHED_MAX = 10_000
TOPIC_BYTES_CACHED_MAX = 256
"""Longer topics are read anew each time, so that the cache stays below a few megabytes."""
_REFUSED = 0x80
_FORBIDDEN = ("\0", "+", "#")


class LinkError(Exception):
    """The connection can't be made, is lost, or does not do what was asked; the message says why."""


class Message(Struct, frozen=True):
    """One PUBLISH of the broker. `packet_id` is 0 at QoS 0; `size_bytes` is the payload's true size.

    `problem` says why the message can't be an event whatever its payload: a topic that is not UTF-8, say.
    """

    topic: str
    payload: bytes
    packet_id: int
    size_bytes: int
    qos: int = 1
    retained: bool = False
    redelivered: bool = False
    content_type: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    problem: str = ""


class Will(Struct, frozen=True):
    """The last will of the connection: QoS 1, retained."""

    topic: str
    payload: bytes


class Terms(Struct, frozen=True):
    """What a connection is made with. The session outlives it: clean start is never asked for."""

    host: str
    port: int
    client_id: str
    version5: bool
    keepalive_s: int
    session_expiry_s: int
    receive_max: int
    payload_bytes_max: int
    packet_bytes_max: int = 0
    """MQTT 5: the broker keeps back larger packets; 0: no limit is told."""
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    will: Will | None = None


OnMessage = Callable[[Message], None]
"""Called for every message while the event loop reads; must not block. It may call `pause_reading`: no further message
is handed over after that, until `resume_reading`."""


class Connection(Protocol):
    """One connection to one broker. Not reusable: after `close` or a loss, make another."""

    @property
    def paused(self) -> bool:
        """Whether the socket is left unread."""
        ...

    @property
    def lost(self) -> bool:
        """Whether the connection has ended."""
        ...

    async def open(self) -> None:
        """Connect and wait for the broker's CONNACK. Raises LinkError or OSError with the reason."""
        ...

    async def subscribe_all(self, filters: Sequence[str]) -> list[tuple[str, int]]:
        """Subscribe with QoS 1, never 2; each filter with the broker's answer (0 to 2 granted, 128 and above refused).

        The time to answer does not run while messages wait for their acknowledgement: rumqttd sends the SUBACK of a
        resumed session after them, and while reading is paused it stands behind them.
        """
        ...

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send the PUBACKs of these messages; on a lost connection nothing is sent and the broker delivers again."""
        ...

    def pause_reading(self) -> None:
        """Leave the socket unread: what the broker goes on to send stays in its hands and in the kernel's buffer."""
        ...

    def resume_reading(self) -> None:
        """The end of `pause_reading`."""
        ...

    async def wait_lost(self, timeout_s: float | None = None) -> bool:
        """Wait until the connection is lost or the time has passed (False). Raises LinkError with the reason."""
        ...

    async def publish(self, topic: str, payload: bytes, *, retain: bool, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Publish with QoS 1; returns once the broker has it. Raises LinkError where it can't be known to."""
        ...

    async def close(self) -> None:
        """Say goodbye where the connection stands (no last will goes out), and let go of the socket in any case."""
        ...


class Topics:
    """Topics as they come over the wire to text, with what is wrong with each; remembers, as most come again."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[str, str]] = {}

    def read(self, raw: bytes) -> tuple[str, str]:
        """The topic as text, and why no event can come by it (empty where all is well)."""
        try:
            return self._known[raw]
        except KeyError:
            pass
        problem = ""
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text, problem = raw.decode(errors="backslashreplace"), "the topic is not UTF-8"
        else:
            if any(each in text for each in _FORBIDDEN):
                problem = "the topic holds a character that MQTT allows in no topic (`+`, `#` or NUL)"
        if len(raw) <= TOPIC_BYTES_CACHED_MAX:
            if len(self._known) >= TOPICS_CACHED_MAX:
                self._known.clear()
            self._known[raw] = text, problem
        return text, problem


def is_refused(code: int) -> bool:
    """Whether a SUBACK's code says that the filter was refused."""
    return code >= _REFUSED

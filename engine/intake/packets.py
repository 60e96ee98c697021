"""The bytes of an MQTT 5 broker to packets: pure, bounded, and never raising, whatever comes.

`mqtt5` (Rust) reads every packet but a PUBLISH without properties, which is nothing but its head and its payload and is
read here. It takes any bytes for UTF-8 and panics where they are not, so texts are checked before it sees them. A
PUBLISH whose head can be read always becomes a `Message`, if need be one with a `problem`: the door makes a dead letter
of it and acknowledges it, where a refusal would have the broker send it again for ever. `engine.intake.mqtt5client`
feeds it what the socket brings.

MQTT 5.0, OASIS standard: 2.1 (fixed header), 2.2.2 (properties), 3.3 (PUBLISH).
"""

import mqtt5

from engine.intake.connection import Message, Topics
from engine.intake.contract import DEADLETTER_PAYLOAD_BYTES_MAX
from engine.model import Struct

PROPERTIES_BYTES_MAX = 131_072
"""Room for topic and properties beside the largest payload; a larger packet is not read whole."""
_HEAD_BYTES_MAX = 5 + 2 + 65_535 + 2 + 4
"""Fixed header, topic with its length, packet id and the length of the properties."""

_CONNACK, _PUBLISH, _PUBACK, _PUBCOMP, _SUBACK, _UNSUBACK, _DISCONNECT, _AUTH = 2, 3, 4, 7, 9, 11, 14, 15
_PROPERTIES_AT = {_CONNACK: 2, _SUBACK: 2, _UNSUBACK: 2, _DISCONNECT: 1, _AUTH: 1} | dict.fromkeys(
    range(_PUBACK, _PUBCOMP + 1), 3
)
"""Where in the body of a packet that a broker sends its properties begin."""
_FIXED_BYTES = (
    dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1)
    | dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2)
    | dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4)
)
_VARIABLE, _USER_PROPERTY = 0x0B, 0x26
_TEXTS = frozenset((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F))
_BINARIES = frozenset((0x09, 0x16))
_CONTINUES = 0x80
_VARINT_BYTES_MAX = 4


class Malformed(Struct, frozen=True):
    """What came is no MQTT 5, or more than may be: the connection can't go on."""

    reason: str
    code: mqtt5.DisconnectReasonCode = mqtt5.DisconnectReasonCode.MALFORMED_PACKET


class PacketReader:
    """`feed` it bytes, then ask for the `next` packet until there is none.

    Holds at most the largest packet that is read whole (`payload_bytes_max` and `PROPERTIES_BYTES_MAX`) and what was
    last fed. Of a larger PUBLISH the head and `DEADLETTER_PAYLOAD_BYTES_MAX` of the payload are kept, the rest is let
    go as it comes.
    """

    def __init__(self, *, payload_bytes_max: int) -> None:
        self._packet_bytes_max = payload_bytes_max + PROPERTIES_BYTES_MAX
        self._data: bytes | bytearray = b""
        self._at = 0
        self._skip = 0
        self._topics = Topics()

    @property
    def held_bytes(self) -> int:
        """How many bytes are held."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """What the socket brought."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._at >= len(self._data):
            self._data, self._at = data, 0
            return
        if isinstance(self._data, bytes):
            self._data = bytearray(self._data[self._at :])
        else:
            del self._data[: self._at]
        self._at = 0
        self._data += data

    def next(self) -> "Message | mqtt5.Packet | Malformed | None":
        """The next packet, or None until more bytes are there. After a `Malformed` there is nothing more to ask for."""
        data, at = self._data, self._at
        have = len(data)
        if at + 2 > have:
            return None
        length, body = data[at + 1], at + 2
        if length >= _CONTINUES:
            read = _varint(data, at + 1, have)
            if read is None:
                return None
            length, body = read
            if length < 0:
                return Malformed("a packet's length is no number")
        end = body + length
        publish = data[at] >> 4 == _PUBLISH
        if end - at > self._packet_bytes_max:
            if not publish:
                return Malformed(
                    f"a packet of type {data[at] >> 4} with {length} bytes", mqtt5.DisconnectReasonCode.PACKET_TOO_LARGE
                )
            if have - at < min(_HEAD_BYTES_MAX + DEADLETTER_PAYLOAD_BYTES_MAX, end - at):
                return None
        elif end > have:
            return None
        found = self._publish(data, at, body, end) if publish else _other(data, at, body, end)
        self._at = end
        if end > have:
            self._skip, self._data, self._at = end - have, b"", 0
        return found

    def _publish(self, data: bytes | bytearray, at: int, body: int, end: int) -> Message | Malformed:
        """One PUBLISH that begins at `at`, has its topic at `body` and ends at `end`, which may not be there yet."""
        flags = data[at]
        qos = flags >> 1 & 3
        topic_at = body + 2
        if topic_at > end:
            return Malformed("a PUBLISH without a topic")
        topic_end = topic_at + (data[body] << 8 | data[body + 1])
        rest = topic_end + 2 if qos else topic_end
        if rest >= end or qos == 3:  # 3 is no QoS
            return Malformed("a PUBLISH whose head does not fit its length")
        packet_id = data[topic_end] << 8 | data[topic_end + 1] if qos else 0
        if qos and not packet_id:
            return Malformed("a PUBLISH with the packet id 0")
        if topic_at == topic_end:
            return Malformed("a topic alias, though none is allowed", mqtt5.DisconnectReasonCode.TOPIC_ALIAS_INVALID)
        topic, problem = self._topics.read(bytes(data[topic_at:topic_end]))
        properties_bytes, properties_at = data[rest], rest + 1
        if properties_bytes >= _CONTINUES:
            read = _varint(data, rest, end)
            if read is None or read[0] < 0:
                return Malformed("the length of a PUBLISH's properties is no number")
            properties_bytes, properties_at = read
        payload_at = properties_at + properties_bytes
        if payload_at > end:
            return Malformed("properties that are longer than their PUBLISH")
        content_type = ""
        properties: tuple[tuple[str, str], ...] = ()
        if end - at > self._packet_bytes_max:
            payload = bytes(data[payload_at : payload_at + DEADLETTER_PAYLOAD_BYTES_MAX])
            problem = problem or f"the packet has {end - at} bytes; at most {self._packet_bytes_max} are read"
        else:
            payload = bytes(data[payload_at:end])
            if properties_bytes and not problem:
                problem = texts_problem(data, properties_at, payload_at)
                if not problem:
                    content_type, properties, problem = _properties(memoryview(data)[at:end])
        return Message(
            topic=topic,
            payload=payload,
            packet_id=packet_id,
            size_bytes=end - payload_at,
            qos=qos,
            retained=bool(flags & 1),
            redelivered=bool(flags & 8),
            content_type=content_type,
            properties=properties,
            problem=problem,
        )


def texts_problem(data: bytes | bytearray, at: int, end: int) -> str:
    """Why the properties that stand between `at` and `end` can't be read: they break off, or a text is not UTF-8."""
    while at < end:
        kind = data[at]
        at += 1
        if kind in _FIXED_BYTES:
            at += _FIXED_BYTES[kind]
        elif kind == _VARIABLE:
            read = _varint(data, at, end)
            if read is None or read[0] < 0:
                return "a property breaks off"
            at = read[1]
        elif kind in _BINARIES or kind in _TEXTS or kind == _USER_PROPERTY:
            for _ in range(2 if kind == _USER_PROPERTY else 1):
                if at + 2 > end:
                    return "a property breaks off"
                begin, at = at + 2, at + 2 + (data[at] << 8 | data[at + 1])
                if at > end:
                    return "a property breaks off"
                if kind not in _BINARIES and not _is_utf8(data[begin:at]):
                    return "a property is not UTF-8"
        else:
            return f"there is no property {kind:#04x}"
    return "" if at == end else "a property breaks off"


def varint(value: int) -> bytes:
    """A number as a variable byte integer."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (_CONTINUES if value else 0))
        if not value:
            return bytes(out)


def _other(data: bytes | bytearray, at: int, body: int, end: int) -> "mqtt5.Packet | Malformed":
    kind = data[at] >> 4
    begins = body + _PROPERTIES_AT.get(kind, 0)
    if kind in _PROPERTIES_AT and begins < end:
        read = _varint(data, begins, end)
        if read is None or read[0] < 0 or sum(read) > end:
            return Malformed(f"the properties of a packet of type {kind} break off")
        problem = texts_problem(data, read[1], sum(read))
        if problem:
            return Malformed(f"a packet of type {kind}: {problem}")
    elif kind not in _PROPERTIES_AT and end > body:
        return Malformed(f"a packet of type {kind} that no broker sends")
    try:
        return mqtt5.read(memoryview(data)[at:end])[0]
    except (ValueError, IndexError) as error:
        return Malformed(f"a packet of type {kind}: {error}")


def _properties(packet: memoryview) -> tuple[str, tuple[tuple[str, str], ...], str]:
    """Content type and user properties of a whole PUBLISH, and why they can't be had."""
    try:
        read, _ = mqtt5.read(packet)
    except (ValueError, IndexError) as error:
        return "", (), f"a property is wrong: {error}"
    assert isinstance(read, mqtt5.PublishPacket), "the caller has looked at the type"
    return read.content_type or "", tuple(read.user_properties), ""


def _varint(data: bytes | bytearray, at: int, end: int) -> tuple[int, int] | None:
    """A variable byte integer and where it ends; None where it goes past `end`, -1 for a number in no valid form."""
    value = 0
    for place in range(_VARINT_BYTES_MAX):
        if at + place >= end:
            return None
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < _CONTINUES:
            return (value if byte or not place else -1), at + place + 1
    return -1, at + _VARINT_BYTES_MAX


def _is_utf8(raw: bytes | bytearray) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True

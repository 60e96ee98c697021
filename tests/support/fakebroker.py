"""A broker that says what a real one would not: a script of raw bytes behind an ordinary CONNACK and SUBACK."""

import asyncio
from collections import Counter

from engine.intake.packets import varint

CONNECT, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 4, 8, 12, 14


class FakeBroker:
    """`async with FakeBroker(version5=True) as broker:` listens on `broker.port`; `send` goes to the last who came.

    `acknowledged` counts PUBACKs by packet id, `heard` packets by type. With `mute` set nothing is answered.
    """

    def __init__(self, *, version5: bool) -> None:
        self.version5 = version5
        self.port = 0
        self.mute = False
        self.connects = 0
        self.acknowledged: Counter[int] = Counter()
        self.heard: Counter[int] = Counter()
        self._writer: asyncio.StreamWriter | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "FakeBroker":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def send(self, data: bytes) -> None:
        """These bytes, as they are."""
        assert self._writer is not None, "nobody has come"
        self._writer.write(data)

    def publish(self, topic: bytes, payload: bytes, *, packet_id: int, properties: bytes = b"") -> None:
        """A PUBLISH at QoS 1 of any bytes."""
        body = len(topic).to_bytes(2) + topic + packet_id.to_bytes(2)
        if self.version5:
            body += varint(len(properties)) + properties
        self.send(b"\x32" + varint(len(body + payload)) + body + payload)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writer = writer
        self.connects += 1
        try:
            while True:
                kind, body = await read_packet(reader)
                self.heard[kind] += 1
                if not self.mute:
                    self._answer(writer, kind, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()

    def _answer(self, writer: asyncio.StreamWriter, kind: int, body: bytes) -> None:
        match kind:
            case 1:
                writer.write(b"\x20\x03\x00\x00\x00" if self.version5 else b"\x20\x02\x00\x00")
            case 4:
                self.acknowledged[int.from_bytes(body[:2])] += 1
            case 8:
                writer.write(
                    b"\x90\x04" + body[:2] + b"\x00\x01" if self.version5 else b"\x90\x03" + body[:2] + b"\x01"
                )
            case 12:
                writer.write(b"\xd0\x00")


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Type and body of the next packet of a client."""
    first = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return first >> 4, await reader.readexactly(length)

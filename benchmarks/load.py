"""What stands around the daemon in the end-to-end benchmark: who publishes, and the plain clients it is held against.

    python -m benchmarks.load plain CLIENT PORT COUNT       takes COUNT messages, acknowledges, throws away
    python -m benchmarks.load paced PORT RATE SECONDS       publishes stamped events at that rate

Each runs in a process of its own, as the daemon does. The publisher writes MQTT 5 by the codec itself: a client library
would be the narrowest place.
"""

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import aiomqtt
import mqtt5

from benchmarks.workloads import stamp, work_a_events
from engine.intake.connection import Connection, Message, Terms
from engine.intake.manualclient import ManualClient
from engine.intake.mqtt5client import Mqtt5Client

TOPIC = "halon/events/bench"
RULES = 1_000
STEP_S = 0.002
"""The paced publisher sends what is due this often."""
WINDOW = 1_000
CLIENTS = ("aiomqtt", "aiomqtt by hand", "mqtt5")
"""The library as it comes, the same library under engine/intake/manualclient.py, and engine/intake/mqtt5client.py."""


def topic_of(name: str) -> str:
    """A topic of its own for each that is measured: what the broker holds for one it must not hand to another."""
    return f"{TOPIC}/{name.replace(' ', '-')}"


def backlog(count: int, *, batch: int = 1) -> list[bytes]:
    """That many events as payloads, `batch` to each; ids differ from call to call, so that none is a duplicate."""
    mark = f"{time.time_ns():x}".encode()
    events = [event.replace(b'"evt-', b'"' + mark + b"-", 1) for event in work_a_events(RULES, count)]
    if batch == 1:
        return events
    return [b"[" + b",".join(events[at : at + batch]) + b"]" for at in range(0, count, batch)]


class Publisher(asyncio.Protocol):
    """A connection that publishes with QoS 1 and counts the broker's acknowledgements."""

    def __init__(self, topic: str = TOPIC) -> None:
        self.topic = topic
        self.acknowledged = 0
        self.sent = 0
        self._rest = b""
        self._moved = asyncio.Event()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(mqtt5.ConnectPacket("bench-publisher", clean_start=True, keep_alive=0).write())

    def data_received(self, data: bytes) -> None:
        view, at = memoryview(self._rest + data), 0
        while True:
            try:
                packet, size = mqtt5.read(view[at:])
            except IndexError:
                break
            at += size
            self.acknowledged += isinstance(packet, mqtt5.PubAckPacket)
        self._rest = bytes(view[at:])
        self._moved.set()

    def put(self, payloads: Iterable[bytes]) -> None:
        """Publish these in one write."""
        packets = []
        for payload in payloads:
            number = self.sent % 65_535 + 1
            packet = mqtt5.PublishPacket(self.topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number)
            packets.append(packet.write())
            self.sent += 1
        self._transport.write(b"".join(packets))

    async def room(self, under_way_max: int) -> None:
        """Wait until so few wait for the broker."""
        while self.sent - self.acknowledged > under_way_max:
            self._moved.clear()
            await self._moved.wait()

    def close(self) -> None:
        self._transport.write(mqtt5.DisconnectPacket().write())
        self._transport.close()


async def _publish_all(port: int, payloads: Sequence[bytes], topic: str) -> None:
    loop = asyncio.get_running_loop()
    _, publisher = await loop.create_connection(lambda: Publisher(topic), "127.0.0.1", port)
    for at in range(0, len(payloads), 100):
        publisher.put(payloads[at : at + 100])
        await publisher.room(WINDOW)
    await publisher.room(0)
    publisher.close()
    await asyncio.sleep(0)


def publish_all(port: int, payloads: Sequence[bytes], topic: str) -> None:
    """Publish; returns when the broker has all."""
    asyncio.run(_publish_all(port, payloads, topic))


def stamped(events: Iterable[bytes]) -> Iterator[bytes]:
    """Each event with an id of its own and the time at which it is taken from here."""
    mark = f"{time.time_ns():x}".encode()
    zero = len(stamp(0.0))
    for event in events:
        at = event.index(b'"time": "') + 9
        micros = time.time_ns() // 1_000
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(micros // 1_000_000)).encode()
        fresh = event[:at] + now + b".%06dZ" % (micros % 1_000_000) + event[at + zero :]
        yield fresh.replace(b'"evt-', b'"' + mark + b"-", 1)


async def paced(port: int, rate: float, seconds: float) -> None:
    """Publish at a rate, in small steps; what the broker holds back is not made up for by a burst later."""
    _, publisher = await asyncio.get_running_loop().create_connection(Publisher, "127.0.0.1", port)
    loop = asyncio.get_running_loop()
    events = stamped(work_a_events(RULES, int(rate * seconds) + 1, seed=7))
    began = loop.time()
    while (passed := loop.time() - began) < seconds:
        due = int(passed * rate) - publisher.sent
        publisher.put(islice(events, due))
        await publisher.room(65_000)
        await asyncio.sleep(STEP_S)
    await publisher.room(0)
    publisher.close()
    print(f"{publisher.sent / (loop.time() - began):.0f}")


async def plain(kind: str, port: int, count: int) -> tuple[float, float]:
    """Messages a second of the clock, and a second of processor; COUNT 0 only makes the session."""
    return await (_plain_library(port, count) if kind == "aiomqtt" else _plain_connection(kind, port, count))


async def _plain_library(port: int, count: int) -> tuple[float, float]:
    client = aiomqtt.Client("127.0.0.1", port, identifier="plain-aiomqtt", clean_session=False)
    async with client:
        await client.subscribe(topic_of("aiomqtt"), qos=1)
        taken, began, cpu = 0, 0.0, 0.0
        async for _ in client.messages if count else _nothing():
            if not taken:
                began, cpu = time.perf_counter(), time.process_time()
            taken += 1
            if taken == count:
                return (count - 1) / (time.perf_counter() - began), (count - 1) / (time.process_time() - cpu)
    return 0.0, 0.0


async def _nothing() -> "asyncio.AsyncIterator[aiomqtt.Message]":
    return
    yield


async def _plain_connection(kind: str, port: int, count: int) -> tuple[float, float]:
    """The daemon's own client, which acknowledges what one turn of the loop brought and does nothing else."""
    loop = asyncio.get_running_loop()
    waiting: list[int] = []
    taken, began, cpu = 0, 0.0, 0.0
    done = asyncio.Event()

    def take(message: Message) -> None:
        nonlocal taken, began, cpu
        if not taken:
            began, cpu = time.perf_counter(), time.process_time()
        if not waiting:
            loop.call_soon(acknowledge)
        waiting.append(message.packet_id)
        taken += 1
        if taken == count:
            done.set()

    def acknowledge() -> None:
        client.acknowledge(waiting)
        waiting.clear()

    terms = Terms(
        host="127.0.0.1",
        port=port,
        client_id=f"plain-{kind.replace(' ', '-')}",
        version5=kind == "mqtt5",
        keepalive_s=30,
        session_expiry_s=3_600,
        receive_max=2_000,
        payload_bytes_max=1_048_576,
    )
    client: Connection = (Mqtt5Client if kind == "mqtt5" else ManualClient)(terms, take)
    await client.open()
    await client.subscribe_all([topic_of(kind)])
    if not count:
        await client.close()
        return 0.0, 0.0
    await done.wait()
    found = (count - 1) / (time.perf_counter() - began), (count - 1) / (time.process_time() - cpu)
    await asyncio.sleep(0)
    await client.close()
    return found


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["plain", kind, port, count]:
            print(*asyncio.run(plain(kind, int(port), int(count))))
        case ["paced", port, rate, seconds]:
            asyncio.run(paced(int(port), float(rate), float(seconds)))
        case _:
            raise SystemExit(__doc__)

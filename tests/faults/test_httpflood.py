"""More than the HTTP door can take: ten times its sustained rate, slow senders, half-open connections.

The daemon is a real process. Throughout its memory stays below RSS_MIB_MAX, `status` answers within STATUS_S_MAX, and
at the end every event that was answered 202 is in the database. The bounds hold on two shared processors.
"""

import asyncio
import json
import threading
from contextlib import contextmanager, suppress

import pytest

from engine.clock import SystemClock
from engine.operate.shown import Status
from engine.store.seen import DIGEST_BYTES, digest
from tests.support.daemon import Daemon
from tests.support.realparts import free_port
from tests.support.wait import until, until_async

RSS_MIB_MAX = 300.0
STATUS_S_MAX = 1.0
TIMES = 10
BATCH = 100
OUTSTANDING_MAX = 700
RULES = """
[signal.noise]
on = "load.noise"
by = { k = "event.subject" }
detect = { method = "count", at_least = 100_000, within = "1h" }
"""
CONFIG = """
[http]
enabled = true
port = {port}
body_within = "2s"
[[http.senders]]
name = "flood"
token_file = "token"
per_second_max = 1_000_000
burst_max = 1_000_000
[[http.senders]]
name = "honest"
token_file = "token"
"""

HEAD = b"POST /events/flood HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\n"


def request(number: int, sender: str = "flood") -> bytes:
    """One request with the events `BATCH * number` and following."""
    events = [
        {"specversion": "1.0", "id": f"e{each}", "source": "s", "type": "load.noise", "subject": f"k{each % 50}"}
        for each in range(BATCH * number, BATCH * (number + 1))
    ]
    body = json.dumps(events).encode()
    return (
        b"POST /events/%b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\nConnection: close\r\n"
        b"Content-Type: application/cloudevents-batch+json\r\nContent-Length: %d\r\n\r\n%b"
        % (sender.encode(), len(body), body)
    )


async def post(port: int, number: int, sender: str = "flood") -> int:
    """The status of one request on a connection of its own; 0 where the door hung up."""
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(number, sender))
        head = await reader.readline()
        return int(head.split()[1]) if head else 0
    except OSError:
        return 0
    finally:
        if writer is not None:
            await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


class Flood:
    """Numbers of requests by how they were answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._next = 0
        self.answered: dict[int, list[int]] = {}
        self.held_back = 0
        """Requests that were due while OUTSTANDING_MAX were under way: the sender's own bound."""

    async def _one(self) -> None:
        number, self._next = self._next, self._next + 1
        status = await post(self._port, number)
        self.answered.setdefault(status, []).append(number)

    async def sustained(self, senders: int, seconds: float) -> float:
        """Requests per second that are accepted while `senders` each wait for their answer."""
        clock, before = SystemClock(), len(self.answered.get(202, ()))
        end_s = clock.monotonic_s() + seconds

        async def send() -> None:
            while clock.monotonic_s() < end_s:
                await self._one()

        await asyncio.gather(*(send() for _ in range(senders)))
        return (len(self.answered[202]) - before) / seconds

    async def open_loop(self, rate: float, seconds: float) -> None:
        """So many new requests per second, whether or not the ones before are answered."""
        clock = SystemClock()
        began_s, sent, tasks = clock.monotonic_s(), 0, set()
        async with asyncio.TaskGroup() as group:
            while (passed_s := clock.monotonic_s() - began_s) < seconds:
                while sent < rate * passed_s:
                    sent += 1
                    if len(tasks) >= OUTSTANDING_MAX:
                        self.held_back += 1
                        continue
                    task = group.create_task(self._one())
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                await clock.sleep_s(0.005)


@contextmanager
def asking(halon: Daemon):
    """How long `status` takes, asked all the time from a thread of its own, and the memory that was seen.

    What the machine and the flood in this very process hold a thread up by, which only wants to wake, is taken off.
    """
    clock, stop, took_s, rss, late_s = SystemClock(), threading.Event(), [], [], [0.0]

    def beat() -> None:
        before_s = clock.monotonic_s()
        while not stop.wait(0.02):
            now_s = clock.monotonic_s()
            late_s.append(now_s - before_s - 0.02)
            before_s = now_s

    def ask() -> None:
        while not stop.wait(0.1):
            began_s, asked = clock.monotonic_s(), len(late_s)
            halon.client.get("/v1/status", Status)
            before = len(late_s)
            took_s.append(max(0.0, clock.monotonic_s() - began_s - sum(late_s[asked:before])))
            rss.append(halon.rss_mib())

    threads = [threading.Thread(target=ask, name="status"), threading.Thread(target=beat, name="beat")]
    for thread in threads:
        thread.start()
    try:
        yield took_s, rss
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


@pytest.fixture(scope="module")
def halon(tmp_path_factory):
    """One daemon for all of it: what one test did must not weaken it for the next."""
    folder = tmp_path_factory.mktemp("flood")
    (folder / "token").write_text("s3cret")
    daemon = Daemon(folder, port=None, rules=RULES, config=CONFIG.format(port=free_port()))
    daemon.config.write_text("mqtt = []\n" + daemon.config.read_text())
    with daemon:
        yield daemon


def port_of(halon: Daemon) -> int:
    return int(next(line for line in halon.config.read_text().splitlines() if line.startswith("port = "))[7:])


def durable(halon: Daemon) -> set[bytes]:
    """The digests of all events that are in the database."""
    return {
        row[start : start + DIGEST_BYTES]
        for (row,) in halon.rows("SELECT digests FROM seen")
        for start in range(0, len(row), DIGEST_BYTES)
    }


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.soak)])
def test_ten_times_the_sustained_rate_loses_nothing_that_was_accepted(halon, seconds):
    """What is too much is answered 429 or hung up on; what is answered 202 is durable."""
    flood = Flood(port_of(halon))

    async def scenario() -> float:
        rate = await flood.sustained(4, 2.0)
        await flood.open_loop(TIMES * rate, seconds)
        return rate

    with asking(halon) as (took_s, rss):
        rate = asyncio.run(scenario())
    counts = {status: len(numbers) for status, numbers in flood.answered.items()}
    offered = sum(counts.values()) + flood.held_back
    told = f"sustained {rate:.0f}/s, offered {offered}, held back {flood.held_back}, answered {counts}, "
    told += f"status at most {max(took_s):.3f} s in {len(took_s)}, memory at most {max(rss):.0f} MiB"
    assert halon.runs, halon.tail()
    assert set(counts) <= {0, 202, 429}, told
    assert counts.get(429, 0) + counts.get(0, 0) > 0, f"nothing was too much: {told}"
    assert max(took_s) < STATUS_S_MAX, told
    assert max(rss) < RSS_MIB_MAX, told
    until(lambda: halon.status().live.in_flight == 0, within_s=60, what="all is durable")
    known = durable(halon)
    lost = [
        number
        for number in flood.answered[202]
        for each in range(BATCH * number, BATCH * (number + 1))
        if digest("s", f"e{each}") not in known
    ]
    assert not lost, told
    assert asyncio.run(post(port_of(halon), 10_000_000)) == 202, "afterwards it is as before"


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"P",
        b"POST /events/flood HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        HEAD + b"Content-Length: 1000\r\n\r\n[",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n",
    ],
    ids=["silent", "one byte", "in the head", "in the body", "in a chunk"],
)
def test_half_open_connections_end_and_keep_nobody_out(halon, beginning):
    """Many that stop in the midst are ended by the door in its time, and another sender is served meanwhile."""
    port, clock = port_of(halon), SystemClock()

    async def scenario() -> None:
        ends = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        for _, writer in ends:
            writer.write(beginning)
        began_s = clock.monotonic_s()
        assert await post(port, 1, "honest") == 202
        assert clock.monotonic_s() - began_s < STATUS_S_MAX

        async def ended(reader: asyncio.StreamReader) -> None:
            with suppress(OSError):
                while await reader.read(65_536):
                    pass

        async with asyncio.timeout(30):
            await asyncio.gather(*(ended(reader) for reader, _ in ends))
        for _, writer in ends:
            await closed(writer)
        assert await post(port, 2, "honest") == 202

    with asking(halon) as (took_s, rss):
        asyncio.run(scenario())
    assert max(took_s) < STATUS_S_MAX
    assert max(rss) < RSS_MIB_MAX


def test_senders_that_drip_are_ended_too(halon):
    """A byte now and then does not prolong the time in which a body has to be whole."""
    port, clock = port_of(halon), SystemClock()

    async def drip() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        whole = request(30_000_000)
        writer.write(whole[:-500])
        try:
            for each in whole[-500:]:
                writer.write(bytes([each]))
                await writer.drain()
                await clock.sleep_s(0.2)
                if reader.at_eof() or reader._buffer:
                    break
            return (await reader.readline()).decode().strip()
        except OSError:
            return "reset"
        finally:
            await closed(writer)

    async def scenario() -> None:
        answers = await asyncio.gather(*(drip() for _ in range(50)))
        assert {answer for answer in answers if answer != "reset"} <= {"HTTP/1.1 408 Request Timeout"}
        await until_async(lambda: halon.status().live.in_flight == 0, what="nothing is under way")
        assert await post(port, 20_000_000) == 202

    before = halon.events_committed()
    asyncio.run(scenario())
    assert halon.events_committed() == before + BATCH, "nothing of what dripped was taken"

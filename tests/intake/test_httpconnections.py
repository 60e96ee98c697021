"""engine.intake.httpconnections: a door that goes while senders connect, send, wait or say nothing."""

import asyncio
import socket
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest

from engine.clock import SystemClock
from engine.config import HttpConfig, IntakeConfig, SenderConfig
from engine.intake import httpconnections
from engine.intake.contract import Inbox
from engine.intake.http import HttpIntake
from tests.support.realparts import free_port
from tests.support.wait import until_async

EVENT = b'{"specversion":"1.0","id":"1","source":"s","type":"x"}'
HEAD = (
    b"POST /events/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-a\r\n"
    b"Content-Type: application/cloudevents+json\r\nContent-Length: %d\r\n\r\n" % len(EVENT)
)
SENDERS_AT_ONCE = 20


class Stage:
    """Doors that run one after the other on the same listening socket, and whoever takes what they bring."""

    def __init__(self, config):
        self.config, self.inbox, self.clock = config, Inbox(), SystemClock()
        self.tasks = []

    async def open(self, listeners=()):
        self.door = HttpIntake(self.config, IntakeConfig(), self.inbox, self.clock, listeners=listeners)
        self.running = asyncio.ensure_future(self.door.run())
        self.tasks.append(self.running)
        await until_async(lambda: self.door.status().connected, what="the door listens")

    @property
    def heard(self):
        return self.door._connections.heard

    @property
    def silent(self):
        return self.door._connections.silent

    async def take(self):
        while True:
            received = await self.inbox.receive(100)
            await self.door.acknowledge(received)

    async def connect(self, sent):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.config.port)
        writer.write(sent)
        return reader, writer

    async def leave(self):
        """Tell the door to go; it has stopped to listen, and hears who is in."""
        self.running.cancel()
        await until_async(lambda: not self.door.status().connected, what="it listens no more")

    async def stays(self):
        """For a moment in which a door that waits for nobody would have hung up."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.running), 0.2)


@pytest.fixture
def stage(tmp_path):
    """Gives a context with a door that is open."""
    (tmp_path / "a.token").write_text("secret-a")
    sender = SenderConfig(name="a", token_file=str(tmp_path / "a.token"), burst_max=1_000)

    @asynccontextmanager
    async def opened():
        made = Stage(HttpConfig(enabled=True, port=free_port(), listen="127.0.0.1", senders=(sender,)))
        await made.open()
        made.tasks.append(asyncio.ensure_future(made.take()))
        try:
            yield made
        finally:
            for task in made.tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    return opened


async def answer(reader):
    """Its status, and whether its head says that the connection ends."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).lower()
    await asyncio.wait_for(reader.readexactly(int(head.split(b"content-length: ")[1].split()[0])), 10)
    return int(head.split()[1]), b"\r\nconnection: close\r\n" in head


@pytest.mark.parametrize("turns", range(5))
def test_whoever_connects_as_the_door_is_exchanged_is_answered_by_one_of_the_two(stage, turns):
    """Whichever turn of the loop the door is told to go in after they came: each is told to come again, or heard."""

    async def scenario():
        async with stage() as made:
            shared = made.door.share_listeners()
            heard = []
            with ExitStack() as held:
                # In the kernel's backlog, all before the loop sees any of them
                address = ("127.0.0.1", made.config.port)
                senders = [held.enter_context(socket.create_connection(address)) for _ in range(SENDERS_AT_ONCE)]
                for each in senders:
                    each.sendall(HEAD + EVENT)
                for _ in range(turns):
                    await asyncio.sleep(0)
                made.running.cancel()
                await asyncio.wait([made.running])
                await made.open(shared)
                for each in senders:
                    reader, writer = await asyncio.open_connection(sock=each)
                    heard.append(await answer(reader))
                    writer.close()
            assert set(heard) <= {(202, False), (202, True), (503, True)}, heard
            if turns == 0:
                assert (202, False) in heard, "who was not let in is let in by the next"

    asyncio.run(scenario())


def test_a_request_that_is_being_sent_is_taken_and_one_that_comes_late_is_told_to_come_again(stage, monkeypatch):
    """Half a body and a connection that has said nothing yet are waited for; each hears that its connection ends."""
    monkeypatch.setattr(httpconnections, "LEAVE_S", 0.0)
    monkeypatch.setattr(httpconnections, "LEAVE_S_MAX", 10.0)

    async def scenario():
        async with stage() as made:
            half, sending = await made.connect(HEAD + EVENT[:9])
            late, silent = await made.connect(b"")
            await until_async(lambda: made.heard and made.silent, what="both are in")
            await made.leave()
            await made.stays()
            silent.write(HEAD + EVENT)
            assert await answer(late) == (503, True)
            await made.stays()
            sending.write(EVENT[9:])
            assert await answer(half) == (202, True)
            await asyncio.wait([made.running])
            sending.close()
            silent.close()

    asyncio.run(scenario())


def test_who_was_heard_before_may_speak_for_a_moment_and_is_hung_up_on_without_a_reset(stage, monkeypatch):
    """A connection that is kept hears 503 while the door leaves; one that stays idle ends, whatever it sends then."""
    monkeypatch.setattr(httpconnections, "LINGER_S", 10.0)

    async def scenario():
        async with stage() as made:
            (kept, speaks), (idle, says_nothing) = [await made.connect(HEAD + EVENT) for _ in range(2)]
            for reader in (kept, idle):
                assert await answer(reader) == (202, False)
            await made.leave()
            speaks.write(HEAD + EVENT)
            assert await answer(kept) == (503, True)
            assert await asyncio.wait_for(idle.read(), 10) == b""
            says_nothing.write(HEAD + EVENT)  # over loopback a reset is there at once
            assert says_nothing.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            for writer in (speaks, says_nothing):
                writer.close()
            await asyncio.wait([made.running])

    asyncio.run(scenario())


def test_who_says_nothing_holds_the_door_no_longer_than_the_bound(stage):
    """Silent connections, an idle one and half a body: the door is gone all the same, and holds none of them."""

    async def scenario():
        async with stage() as made:
            opened = [await made.connect(sent) for sent in (b"", HEAD[:9], HEAD + EVENT[:9], HEAD + EVENT)]
            await until_async(lambda: made.heard and len(made.silent) == 2, what="all are in")
            made.running.cancel()
            await asyncio.wait_for(asyncio.wait([made.running]), 10)
            assert (made.silent, made.heard, made.door._bytes) == ({}, set(), 0)
            for _, writer in opened:
                writer.close()

    asyncio.run(scenario())

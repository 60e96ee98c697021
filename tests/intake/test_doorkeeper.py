"""engine.intake.doorkeeper: doors exchanged under real connections, and plans that fail before anything is touched."""

import asyncio
import socket
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from msgspec.structs import replace

from engine.clock import SystemClock
from engine.config import Config, HttpConfig, MqttConfig, SenderConfig
from engine.intake.contract import Doors, Inbox
from engine.intake.doorkeeper import DoorError, DoorKeeper
from tests.support.realparts import free_port
from tests.support.wait import until_async

EVENT = b'{"specversion":"1.0","id":"1","source":"s","type":"x"}'


class Stage:
    """A keeper whose doors run, and whoever takes what they bring."""

    def __init__(self, group):
        self.inbox = Inbox()
        self.doors = Doors([], self.inbox)
        self.keeper = DoorKeeper(self.doors, self.inbox, SystemClock())
        self.keeper.attach(group)
        self.hold = False
        self.held = []
        self.taker = group.create_task(self._take())

    async def _take(self):
        while True:
            received = await self.inbox.receive(10)
            if self.hold:
                self.held += received
            else:
                await self.doors.acknowledge(received)

    async def change(self, config):
        plan = self.keeper.plan(config, pages={})
        await self.keeper.retire(plan)
        self.keeper.open(plan)
        for name in plan.touched:
            if name == "http" and name in self.doors.doors:
                await until_async(lambda: self.doors.doors["http"].status().connected, what="it listens")
        return plan


@asynccontextmanager
async def a_stage():
    async with asyncio.TaskGroup() as group:
        stage = Stage(group)
        try:
            yield stage
        finally:
            for task in [stage.taker, *stage.keeper.cancel()]:
                task.cancel()


async def post(port, name="a", token="secret-a"):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents+json"}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.post(f"http://127.0.0.1:{port}/events/{name}", data=EVENT, headers=headers) as answer,
    ):
        return answer.status


@pytest.fixture
def http(tmp_path):
    """`[http]` with one sender."""
    (tmp_path / "a.token").write_text("secret-a")
    (tmp_path / "b.token").write_text("secret-b")
    senders = (SenderConfig(name="a", token_file=str(tmp_path / "a.token")),)
    return HttpConfig(enabled=True, port=free_port(), senders=senders)


def config(http, *brokers):
    return Config(http=http, mqtt=brokers)


def test_a_new_sender_is_served_and_no_connection_is_refused_meanwhile(http, tmp_path):
    """While the door is exchanged again and again, every request finds a listener; a request is held and answered."""

    async def scenario():
        more = replace(
            http, senders=(*http.senders, SenderConfig(name="b", token_file=str(tmp_path / "b.token"), burst_max=9_999))
        )
        async with a_stage() as stage:
            await stage.change(config(http))
            assert await post(http.port) == 202
            assert await post(http.port, "b", "secret-b") == 404
            answers = []

            async def ask():
                while len(answers) < 60:
                    answers.append(await post(http.port))

            async with asyncio.TaskGroup() as asking:  # an error of the sender is the error of the test
                asking.create_task(ask())
                for turn in range(4):
                    plan = await stage.change(config(more if turn % 2 == 0 else http))
                    assert plan.touched == ("http",)
                    await until_async(lambda turn=turn: len(answers) >= 8 * (turn + 1), what="requests go on")
            assert set(answers) <= {202, 503}, "a door that leaves says: come again"
            assert answers.count(202) > 40
            await stage.change(config(more))
            assert await post(http.port, "b", "secret-b") == 202

    asyncio.run(scenario())


def test_what_a_door_brought_is_acknowledged_before_it_goes(http):
    """The exchange waits for what is in flight, and its sender hears 202."""

    async def scenario():
        async with a_stage() as stage:
            await stage.change(config(http))
            stage.hold = True
            asking = asyncio.ensure_future(post(http.port))
            await until_async(lambda: stage.held or asking.done(), what="the request is in flight")
            assert not asking.done(), asking.result()
            changing = asyncio.ensure_future(stage.change(config(replace(http, requests_max=7))))
            await asyncio.sleep(0)
            assert not changing.done()
            stage.hold = False
            await stage.doors.acknowledge(stage.held)
            assert await asking == 202
            await changing

    asyncio.run(scenario())


def test_what_is_the_same_stays_and_a_secret_that_was_rotated_does_not(http, tmp_path):
    """A door is opened anew where its config, its bounds or the content of its files changed, and only there."""

    async def scenario():
        async with a_stage() as stage:
            await stage.change(config(http))
            door = stage.doors.doors["http"]
            assert (await stage.change(config(http))).touched == ()
            assert stage.doors.doors["http"] is door
            (tmp_path / "a.token").write_text("secret-2")
            assert (await stage.change(config(http))).touched == ("http",)
            assert (await post(http.port), await post(http.port, token="secret-2")) == (401, 202)

    asyncio.run(scenario())


def test_a_door_moves_to_another_address_and_can_be_closed(http):
    """The new address answers and the old one does not; without `enabled` neither does."""

    async def scenario():
        async with a_stage() as stage:
            await stage.change(config(http))
            moved = replace(http, port=free_port())
            await stage.change(config(moved))
            assert await post(moved.port) == 202
            with pytest.raises(aiohttp.ClientConnectorError):
                await post(http.port)
            assert (await stage.change(config(replace(moved, enabled=False)))).removed == ("http",)
            assert stage.doors.doors == {}
            with pytest.raises(aiohttp.ClientConnectorError):
                await post(moved.port)

    asyncio.run(scenario())


def test_a_plan_that_fails_leaves_all_as_it_is_and_holds_nothing(http):
    """An address that is taken, a missing secret, a bad map: the reason is said, the open door goes on."""

    async def scenario():
        async with a_stage() as stage:
            await stage.change(config(http))
            with socket.create_server(("127.0.0.1", 0)) as taken:
                bad = {
                    "can't be listened on": config(replace(http, port=taken.getsockname()[1])),
                    "No such file": config(replace(http, senders=(SenderConfig(name="x", token_file="/none"),))),
                    "broker far": config(http, MqttConfig(name="far", password_file="/none")),
                }
                for says, each in bad.items():
                    with pytest.raises(DoorError, match=says):
                        stage.keeper.plan(each, pages={})
            assert await post(http.port) == 202
            free = replace(http, port=free_port())
            plan = stage.keeper.plan(config(free), pages={})
            plan.discard()
            with socket.create_server(("127.0.0.1", free.port)):
                pass  # let go of

    asyncio.run(scenario())


def test_a_broker_that_is_removed_is_no_door_any_more():
    """Its task ends and nobody waits for its connection."""

    async def scenario():
        far = MqttConfig(name="far", port=free_port())
        async with a_stage() as stage:
            await stage.change(Config(mqtt=(far,)))
            [task] = stage.keeper._tasks.values()
            assert [each.name for each in stage.doors.status()] == ["far"]
            await stage.change(Config(mqtt=()))
            assert task.cancelled()
            assert stage.doors.status() == []
            with suppress(KeyError):
                assert stage.keeper._tasks["far"] is None

    asyncio.run(scenario())

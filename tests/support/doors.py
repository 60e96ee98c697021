"""An MQTT door that runs on the event loop of a test, against any broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from engine.clock import SystemClock
from engine.config import IntakeConfig, MqttConfig, TopicConfig
from engine.intake.contract import Inbox, Received
from engine.intake.mqtt import MqttIntake
from tests.support.wait import until_async


@dataclass
class RunningDoor:
    """The door, its inbox, and all messages received from it so far."""

    door: MqttIntake
    inbox: Inbox
    task: "asyncio.Task[None]"
    received: list[Received] = field(default_factory=list)

    async def take(self, count: int, *, within_s: float = 15.0) -> list[Received]:
        """The next `count` messages."""
        await until_async(lambda: len(self.inbox) >= count, within_s=within_s, what=f"{count} messages have arrived")
        messages = list(await self.inbox.receive(count))
        self.received += messages
        return messages

    async def connected(self, *, within_s: float = 20.0) -> None:
        """Wait until the session is up and subscribed."""
        await until_async(
            lambda: self.door.status().connected, within_s=within_s, what=f"connected {self.door.status()}"
        )

    async def heard(self) -> None:
        """Wait until the broker has dealt with all acknowledgements: it answers to what was sent after them."""
        client = self.door._client
        assert client is not None
        await client.subscribe_all([each.filter for each in self.door._config.topics])

    async def stop(self) -> None:
        """End it in order."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def crash(self) -> None:
        """End it as `kill -9` would: the socket is cut without a DISCONNECT."""
        client = self.door._client
        assert client is not None
        client._drop()
        client._disconnected.set_result(None)
        await self.stop()


@asynccontextmanager
async def open_door(
    port: int, *, intake: IntakeConfig | None = None, topic: str = "t/#", **settings
) -> AsyncIterator[RunningDoor]:
    """A door to 127.0.0.1:port, connected; `settings` are keys of [[mqtt]]."""
    running = start_door(port, intake=intake, topic=topic, **settings)
    try:
        await running.connected()
        yield running
    finally:
        await running.stop()


def start_door(
    port: int, *, intake: IntakeConfig | None = None, topic: str = "t/#", tls=None, password=None, **settings
) -> RunningDoor:
    """The same, not waited for."""
    config = MqttConfig(
        **{
            "port": port,
            "client_id": "halon-test",
            "topics": (TopicConfig(filter=topic),),
            **settings,
        }
    )
    inbox = Inbox()
    door = MqttIntake(config, intake or IntakeConfig(), inbox, SystemClock(), tls=tls, password=password)
    task = asyncio.get_running_loop().create_task(door.run(), name=f"door {config.name}")
    return RunningDoor(door, inbox, task)

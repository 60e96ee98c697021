"""An MQTT door that runs on the event loop of a test, against any broker, by either client."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from engine.clock import SystemClock
from engine.config import IntakeConfig, MqttConfig, TopicConfig
from engine.intake.contract import Inbox, Received
from engine.intake.manualclient import ManualClient
from engine.intake.mqtt import MqttIntake
from engine.intake.mqtt5client import Mqtt5Client
from tests.support.wait import until_async

CLIENTS = {
    "aiomqtt-3": {"client": "aiomqtt", "protocol": "3.1.1"},
    "aiomqtt-5": {"client": "aiomqtt", "protocol": "5"},
    "mqtt5": {"client": "mqtt5", "protocol": "5"},
}
"""Every way to speak to a broker, as keys of [[mqtt]]."""


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

    def cut(self) -> None:
        """Cut the line under the client, which finds out by itself."""
        match self.door._client:
            case Mqtt5Client() as client:
                client._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            case ManualClient() as client:
                client._client.socket().shutdown(socket.SHUT_RDWR)

    async def crash(self) -> None:
        """End it as `kill -9` would: the socket is cut without a DISCONNECT."""
        match self.door._client:
            case Mqtt5Client() as client:
                client.drop()
            case ManualClient() as client:
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

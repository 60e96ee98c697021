"""The head of the audit chain to a broker: when, with what, and what is said where it can't be."""

import asyncio
import json

import msgspec
import pytest
from structlog.testing import capture_logs

from engine.anchoring import Anchoring
from engine.clock import SECOND_US, Duration, VirtualClock
from engine.config import AuditConfig, Config, MqttConfig
from engine.intake.contract import PublishError
from engine.store import audit
from engine.store.database import Store

TOPIC = "halon/audit"


class Broker:
    """Takes what is published, or refuses it."""

    def __init__(self):
        self.messages, self.refuses = [], ""

    async def publish(self, topic, payload, *, retain=False):
        if self.refuses:
            raise PublishError(self.refuses)
        assert (topic, retain) == (TOPIC, True)
        self.messages.append(json.loads(payload))


class Stage:
    """A store with an audit log, and two brokers."""

    def __init__(self, store):
        self.store, self.clock = store, VirtualClock(1_800_000_000 * SECOND_US)
        self.brokers = {"near": Broker(), "far": Broker()}
        self.set()
        self.anchoring = Anchoring(store, self.clock, config=lambda: self.config, publisher=self.brokers.get)

    def set(self, **changes):
        audit = {"anchor_topic": TOPIC, "anchor_every": Duration(60 * SECOND_US), "anchor_records": 3, **changes}
        brokers = (MqttConfig(name="near", client_id="halon-1"), MqttConfig(name="far", client_id="halon-2"))
        self.config = Config(mqtt=brokers, audit=AuditConfig(**audit))

    async def records(self, count):
        for _ in range(count):
            await self.store.write(lambda connection: audit.append(connection, "test", 1, {}))

    async def told(self, broker="near"):
        """What one look publishes: numbers of records."""
        messages = self.brokers[broker].messages
        before = len(messages)
        await self.anchoring.look()
        return [each["data"]["records"] for each in messages[before:]]


def play(tmp_path, scenario):
    async def all_of_it():
        store = await Store.open(tmp_path / "halon.db")
        try:
            await scenario(Stage(store))
        finally:
            await store.close()

    asyncio.run(all_of_it())


def test_the_head_is_told_at_once_then_after_so_many_records_or_so_long(tmp_path):
    """And not again where nothing was recorded."""

    async def scenario(stage):
        await stage.records(2)
        assert await stage.told() == [2]
        await stage.records(2)
        assert await stage.told() == []
        await stage.records(1)
        assert await stage.told() == [5]
        await stage.records(1)
        await stage.clock.advance_s(59)
        assert await stage.told() == []
        await stage.clock.advance_s(1)
        assert await stage.told() == [6]
        await stage.clock.advance_s(600)
        assert await stage.told() == []

    play(tmp_path, scenario)


def test_the_message_is_an_event_with_the_head(tmp_path):
    """So that whoever listens can keep it, and `halon audit verify --anchor` can read it."""

    async def scenario(stage):
        await stage.records(1)
        await stage.told()
        [message] = stage.brokers["near"].messages
        head = await stage.store.read(audit.anchor)
        assert message["data"] == {"records": 1, "head": head.hash}
        assert (message["type"], message["source"]) == ("halon.audit.anchor", "/halon/halon-1")
        assert message["time"].startswith("2027-01-15T08:00:00")

    play(tmp_path, scenario)


def test_a_broker_that_does_not_take_it_is_told_again_at_the_next_look(tmp_path):
    """The reason is logged once."""

    async def scenario(stage):
        await stage.records(1)
        stage.brokers["near"].refuses = "not connected"
        assert await stage.told() == []
        assert await stage.told() == []
        stage.brokers["near"].refuses = ""
        assert await stage.told() == [1]

    with capture_logs() as logged:
        play(tmp_path, scenario)
    assert str(logged).count("not connected") == 1


def test_a_reload_moves_it_to_another_broker_or_ends_it(tmp_path):
    """The new place hears the head at once; a broker that is not there is said, and stops nothing."""

    async def scenario(stage):
        await stage.records(1)
        assert await stage.told() == [1]
        stage.set(anchor_broker="far")
        assert await stage.told("far") == [1]
        stage.set(anchor_broker="nowhere")
        assert await stage.told() == await stage.told("far") == []
        stage.set(anchor_topic="")
        await stage.records(9)
        assert await stage.told() == await stage.told("far") == []

    play(tmp_path, scenario)


@pytest.mark.parametrize("topic", ["a/#", "a/+/b"])
def test_a_topic_is_no_filter(topic):
    """Refused by the config's own type."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"anchor_topic": topic}, AuditConfig)

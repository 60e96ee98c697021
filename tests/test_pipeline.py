"""engine.pipeline on a real SQLite store and real rules, with a door that counts what it is told to forget."""

import asyncio
import hashlib
import json
from collections.abc import Sequence

import pytest

from actions.table import load_catalogue
from engine.clock import SECOND_US, VirtualClock, format_time
from engine.cloudevents import Malformed, decode_event
from engine.core import Core
from engine.detectors.table import DETECTORS
from engine.intake.contract import DeadLetter, Doors, Inbox, IntakeStatus, Once, Received
from engine.model import Event, Intent
from engine.pipeline import Pipeline, PipelineConfig
from engine.rulefile.load import load_rules
from engine.store import audit, deadletters, incidents, intents, state
from engine.store.batch import BatchLimits
from engine.store.database import Store
from engine.store.errors import StoreBusyOrFull
from engine.store.seen import SeenIds
from tests.support.wait import until_async

RULES = """
[signal.bad]
on = "x.bad"
by = { key = "event.subject" }

[signal.quiet]
on = "x.beat"
by = { key = "event.subject" }
detect = { method = "absence", for = "30s" }

[rule.bad]
incident = "availability"
severity = "high"
by = ["key"]
when = { any = ["bad", "quiet"] }
playbook = "keep"

[playbook.keep]
investigate = [{ do = "evidence.capture", paths = ["/tmp/${incident.key.key}"] }]
"""


class CountingDoor:
    """A door into which the test puts messages; it notes what may be forgotten and when it is paused."""

    name = "door"

    def __init__(self, inbox: Inbox, clock: VirtualClock) -> None:
        self._inbox = inbox
        self._clock = clock
        self.acknowledged: list[int] = []
        self.paused = 0
        self.resumed = 0
        self.connected = True
        self._next = 0

    def put(self, payload: bytes) -> int:
        self._next += 1
        self._inbox.put(
            Received(
                door=self.name,
                token=self._next,
                topic="t",
                payload=payload,
                received_us=self._clock.now_us(),
                size_bytes=len(payload),
            )
        )
        return self._next

    def event(self, number: str, kind: str = "x.bad", subject: str = "k") -> int:
        return self.put(
            json.dumps({"specversion": "1.0", "id": number, "source": "s", "type": kind, "subject": subject}).encode()
        )

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def acknowledge(self, received: Sequence[Received]) -> None:
        self.acknowledged += [each.token for each in received]

    def pause(self) -> None:
        self.paused += 1

    def resume(self) -> None:
        self.resumed += 1

    def status(self) -> IntakeStatus:
        return IntakeStatus(name=self.name, connected=self.connected)


class PlainDecoder:
    """CloudEvents only."""

    def decode(self, received: Received) -> list[Event | DeadLetter]:
        decoded = decode_event(received.payload, arrived_us=received.received_us)
        if isinstance(decoded, Malformed):
            return [
                DeadLetter(
                    door=received.door,
                    topic=received.topic,
                    reason=decoded.reason,
                    received_us=received.received_us,
                    size_bytes=received.size_bytes,
                    payload=received.payload,
                )
            ]
        return list(decoded)


class Notes:
    """What the pipeline told whoever looks on."""

    def __init__(self) -> None:
        self.batches = []
        self.failures: list[str] = []

    def committed(self, batch, *, commit_s: float) -> None:
        self.batches.append(batch)

    def commit_failed(self, reason: str) -> None:
        self.failures.append(reason)


class Stage:
    """A pipeline on a store in a folder."""

    def __init__(self, store: Store, rules, *, age_us: int = 0) -> None:
        self.clock = VirtualClock()
        inbox = Inbox()
        self.door = CountingDoor(inbox, self.clock)
        self.core = Core(rules)
        self.notes = Notes()
        self.submitted: list[Intent] = []
        self.store = store
        self.pipeline = Pipeline(
            doors=Doors([self.door], inbox),
            decoder=PlainDecoder(),
            seen=SeenIds(horizon_us=3_600 * SECOND_US),
            core=self.core,
            store=store,
            submit=self.submitted.extend,
            watcher=self.notes,
            clock=self.clock,
            config=PipelineConfig(
                batch_events_max=100, batch_age_us=age_us, commit_retry_us=1_000, limits=BatchLimits()
            ),
        )


@pytest.fixture
def rules(tmp_path):
    """The rules above, loaded as the daemon loads them."""
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    loaded, found = load_rules([path], catalogue=load_catalogue().catalogue, detectors=DETECTORS)
    assert loaded is not None, found
    return loaded


def play(tmp_path, rules, scenario):
    """Run a scenario beside the pipeline, then stop it."""

    async def run():
        store = await Store.open(tmp_path / "halon.db")
        try:
            stage = Stage(store, rules)
            async with asyncio.TaskGroup() as group:
                group.create_task(stage.pipeline.run(), name="pipeline")
                await scenario(stage)
                stage.pipeline.stop()
        finally:
            await store.close()

    asyncio.run(run())


def test_a_message_is_acknowledged_only_after_its_incident_is_in_the_store(tmp_path, rules):
    """When the door is told to forget a message, the database holds what came of it."""

    async def scenario(stage):
        token = stage.door.event("1")
        await until_async(lambda: token in stage.door.acknowledged)
        found = await stage.store.read(lambda connection: incidents.find(connection))
        assert [(each.incident, each.key) for each in found] == [("availability", (("key", "k"),))]
        assert await stage.store.read(audit.verify) is None

    play(tmp_path, rules, scenario)


def test_an_event_delivered_twice_is_judged_once_and_acknowledged_twice(tmp_path, rules):
    """The second delivery is a duplicate by (source, id): it changes nothing, and the broker may forget it too."""

    async def scenario(stage):
        tokens = [stage.door.event("1"), stage.door.event("1")]
        await until_async(lambda: stage.door.acknowledged == tokens)
        assert [kind for batch in stage.notes.batches for *_, kind in batch.judged] == ["new", "duplicate"]
        [found] = await stage.store.read(lambda connection: incidents.find(connection))
        assert found.absorbed <= 1

    play(tmp_path, rules, scenario)


def test_what_is_no_event_is_kept_as_a_dead_letter_and_acknowledged(tmp_path, rules):
    """Bad bytes neither stop the daemon nor stay at the broker; the next event is judged as ever."""

    async def scenario(stage):
        tokens = [stage.door.put(b"\xff\x00 not json"), stage.door.put(b"[]"), stage.door.event("1")]
        await until_async(lambda: stage.door.acknowledged == tokens)
        letters = await stage.store.read(lambda connection: deadletters.find(connection))
        assert len(letters) >= 1
        assert letters[0].reason
        assert len(await stage.store.read(lambda connection: incidents.find(connection))) == 1

    play(tmp_path, rules, scenario)


def test_while_the_store_refuses_nothing_is_acknowledged_and_the_doors_are_shut(tmp_path, rules, monkeypatch):
    """The same batch is offered until it is taken; then the message is acknowledged once and the doors open again."""

    async def scenario(stage):
        real, full = stage.store.write, True

        async def refuse(function):
            if full:
                raise StoreBusyOrFull("the disk is full")
            return await real(function)

        monkeypatch.setattr(stage.store, "write", refuse)
        token = stage.door.event("1")
        await until_async(lambda: len(stage.notes.failures) >= 3)
        assert stage.door.acknowledged == []
        assert stage.pipeline.commit_failing == "the disk is full"
        full = False
        await until_async(lambda: stage.door.acknowledged == [token])
        assert stage.door.paused >= 3
        assert stage.door.resumed == 1
        assert stage.pipeline.commit_failing == ""
        assert len(await stage.store.read(lambda connection: incidents.find(connection))) == 1

    play(tmp_path, rules, scenario)


def test_stopping_while_the_store_refuses_leaves_the_messages_with_the_broker(tmp_path, rules, monkeypatch):
    """`stop` ends the retries; the batch is not acknowledged, so it comes again."""

    async def scenario(stage):
        async def refuse(function):
            raise StoreBusyOrFull("the disk is full")

        monkeypatch.setattr(stage.store, "write", refuse)
        stage.door.event("1")
        await until_async(lambda: stage.notes.failures)
        stage.pipeline.stop()

    play(tmp_path, rules, scenario)


def test_silence_is_noticed_by_the_clock_without_any_event(tmp_path, rules):
    """A key that falls silent gives its signal when its time is up, though nothing arrives."""

    async def scenario(stage):
        token = stage.door.event("1", kind="x.beat")
        await until_async(lambda: token in stage.door.acknowledged)
        await stage.clock.advance_s(31)
        await until_async(lambda: any(step.opened for batch in stage.notes.batches for step in batch.steps))
        [found] = await stage.store.read(lambda connection: incidents.find(connection))
        assert found.signals[0].signal == "quiet"

    play(tmp_path, rules, scenario)


def test_behind_a_shut_door_stand_events_that_may_break_the_silence(tmp_path, rules):
    """The clock holds still while a door is shut, so that a backlog is heard before silence is told; not for ever."""

    async def scenario(stage):
        token = stage.door.event("1", kind="x.beat")
        await until_async(lambda: token in stage.door.acknowledged)
        stage.door.connected = False
        await until_async(lambda: stage.pipeline._held_s() > 0)
        await stage.clock.advance_s(29)
        stage.door.connected = True
        await until_async(lambda: stage.pipeline._held_s() > 0)  # just opened: what it holds is on its way
        await stage.clock.advance_s(0.4)
        token = stage.door.event("2", kind="x.beat")
        await until_async(lambda: token in stage.door.acknowledged)
        await stage.clock.advance_s(1)
        stage.door.connected = False
        await until_async(lambda: stage.pipeline._held_s() > 0)
        assert stage.core.open_incidents() == []
        await stage.clock.advance_s(31)
        await until_async(stage.core.open_incidents)

    play(tmp_path, rules, scenario)


def test_events_that_follow_each_other_without_a_pause_move_the_time_themselves(tmp_path, rules):
    """A broker hands its backlog over in pieces; between two of them the clock does not run ahead of the second."""

    async def scenario(stage):
        then_us = stage.clock.now_us()
        await stage.clock.advance_s(3_600)

        def beat(number, after_s):
            at = format_time(then_us + after_s * SECOND_US)
            event = {"specversion": "1.0", "id": str(number), "source": "s", "type": "x.beat", "subject": "k"}
            return stage.door.put(json.dumps({**event, "time": at}).encode())

        for number in range(20):
            token = beat(number, after_s=number * 20)
            await until_async(lambda token=token: token in stage.door.acknowledged)
            await stage.clock.advance_s(0.3)
        assert stage.core.open_incidents() == [], "each beat came 20 s after the one before"
        await stage.clock.advance_s(1)
        await until_async(stage.core.open_incidents)

    play(tmp_path, rules, scenario)


def test_a_clock_that_jumps_ahead_and_is_set_back_leaves_timers_as_they_were(tmp_path, rules):
    """After an hour's error is put right, a key is silent when it is silent by the right time, not at each event."""

    async def scenario(stage):
        hour_us = 3_600 * SECOND_US
        await stage.clock.advance_s(1)
        stage.clock._now_us += hour_us
        token = stage.door.event("1", subject="wrong-time")
        await until_async(lambda: token in stage.door.acknowledged)
        await stage.clock.advance_s(1)
        await until_async(lambda: stage.core.core_us >= stage.clock.now_us())
        stage.clock._now_us -= hour_us
        for number in range(3):
            token = stage.door.event(f"beat-{number}", kind="x.beat")
            await until_async(lambda token=token: token in stage.door.acknowledged)
            await stage.clock.advance_s(20)
        assert [each.key for each in stage.core.open_incidents()] == [(("key", "wrong-time"),)]
        await stage.clock.advance_s(11)
        await until_async(lambda: len(stage.core.open_incidents()) == 2)

    play(tmp_path, rules, scenario)


def test_a_transaction_ends_at_the_message_that_brings_it_past_its_events(tmp_path, rules):
    """`batch_events_max` counts events, not messages: what came together is committed and acknowledged in parts."""

    async def scenario(stage):
        for message in range(5):
            events = [{"specversion": "1.0", "id": f"{message}-{n}", "source": "s", "type": "x.bad"} for n in range(60)]
            stage.door.put(json.dumps(events).encode())
        await until_async(lambda: len(stage.door.acknowledged) == 5)
        assert stage.door.acknowledged == [1, 2, 3, 4, 5]
        assert [batch.events for batch in stage.notes.batches if batch.received] == [120, 120, 60]

    play(tmp_path, rules, scenario)


def test_the_state_in_the_store_gives_back_the_same_core(tmp_path, rules):
    """A core restored from what was committed knows the open incident and absorbs instead of opening another."""

    async def scenario(stage):
        token = stage.door.event("1")
        await until_async(lambda: token in stage.door.acknowledged)
        rows = await stage.store.read(lambda connection: list(state.load(connection)))
        again = Core(rules)
        assert again.restore(rows, stage.core.core_us) == []
        assert [each.id for each in again.open_incidents()] == [each.id for each in stage.core.open_incidents()]
        event = Event(id="2", source="s", type="x.bad", time_us=stage.clock.now_us(), subject="k")
        step = again.event(event, stage.clock.now_us())
        assert step.opened == ()
        assert step.updated[0].absorbed >= 1

    play(tmp_path, rules, scenario)


def test_a_change_of_the_core_between_batches_is_durable_when_it_returns(tmp_path, rules):
    """Closing an incident through `change_core` lets the next evidence open another, and that survives a restart."""

    async def scenario(stage):
        token = stage.door.event("1")
        await until_async(lambda: token in stage.door.acknowledged)
        [first] = stage.core.open_incidents()

        def close(core):
            assert core.close(first.id)

        await stage.pipeline.change_core(close)
        rows = await stage.store.read(lambda connection: list(state.load(connection)))
        again = Core(rules)
        again.restore(rows)
        assert again.open_incidents() == []

    play(tmp_path, rules, scenario)


def test_intents_are_submitted_once_they_are_durable(tmp_path, rules):
    """A playbook's steps are in the store when containment hears of them, with the times of their stations."""

    async def scenario(stage):
        stage.door.event("1")
        await until_async(lambda: stage.submitted)
        [record] = await stage.store.read(intents.unsettled)
        assert record.intent == stage.submitted[0]
        assert record.intent.params == {"paths": ["/tmp/k"]}
        assert record.stations.received_us <= record.stations.matched_us

    play(tmp_path, rules, scenario)


class SigningDecoder(PlainDecoder):
    """Each payload is a signing of its own; a second one is a replay."""

    def decode(self, received):
        replay = Event(id=f"replay-{received.payload!r}", source="/halon", type="x.replay", time_us=0)
        identity = hashlib.blake2b(received.payload, digest_size=16).digest()
        return [Once(identity=identity, signed_us=received.received_us, otherwise=(replay,)), *super().decode(received)]


def test_a_signing_counts_once_and_a_replay_is_told_in_its_place(tmp_path, rules):
    """Over a restart too; and what was signed before ids are known is a replay whatever it is."""

    async def first(stage):
        stage.pipeline.decoder = SigningDecoder()
        tokens = [stage.door.event("1"), stage.door.event("1"), stage.door.put(b"{"), stage.door.event("2")]
        await until_async(lambda: stage.door.acknowledged == tokens)
        events = [each.type for batch in stage.notes.batches for each in batch.changes.events]
        assert events == ["x.bad", "x.replay", "x.bad"]
        assert await stage.store.read(lambda connection: deadletters.count(connection)) == 1

    async def second(stage):
        stage.pipeline.decoder = SigningDecoder()
        await stage.store.read(lambda connection: stage.pipeline._seen.load(connection, stage.clock.now_us()))
        token = stage.door.event("1")
        await until_async(lambda: token in stage.door.acknowledged)
        stage.pipeline._seen.floor_us = stage.clock.now_us() + 1
        token = stage.door.event("3")
        await until_async(lambda: token in stage.door.acknowledged)
        judged = [each for batch in stage.notes.batches for each in batch.judged]
        assert [(kind, verdict) for _, kind, verdict in judged] == [("x.replay", "duplicate"), ("x.replay", "new")]

    play(tmp_path, rules, first)
    play(tmp_path, rules, second)

"""docs/architecture.md as code: receive, decode, judge, commit, acknowledge, act. `engine.app` runs it.

One batch is one transaction. Nothing is acknowledged or acted on before its commit; where the store does
not take a batch, that same batch is offered again until it does, and the doors stay unread meanwhile.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, cast

import msgspec
import structlog

from engine.clock import SECOND_US, Clock
from engine.core import EMPTY, Core, CoreStep
from engine.intake.contract import DeadLetter, Doors, Once, Received
from engine.model import Event, Intent, Struct
from engine.store.batch import BatchChanges, BatchLimits, commit_batch
from engine.store.connection import Connection
from engine.store.database import Store
from engine.store.deadletters import DeadLetter as StoredLetter
from engine.store.errors import StoreBusyOrFull
from engine.store.seen import SeenIds, digest

_log = structlog.get_logger("halon.pipeline")

CORE_CLOCK = "core_us"
"""The fact under which the store keeps the core's time."""
IDLE_TICK_S = 1.0
"""With nothing to do, the core's clock is moved at least this often."""
QUIET_S = 0.5
"""The clock moves the core's time once no event has come for so long: what a broker holds comes without a pause."""
SHUT_MAX_S = 30.0
"""A shut door holds the clock this long: behind it may stand the events whose silence a timer would tell of."""
SET_BACK_US = 5 * SECOND_US
"""A clock this far behind the core's time was set back."""
FLOW_MAX_S = 300.0
"""Events that come without a pause hold the clock this long, whatever times they carry."""


class Decoder(Protocol):
    """`engine.intake.formats`: a message to its events and to what of it could not be read."""

    def decode(self, received: Received) -> Sequence[Event | DeadLetter | Once]:
        """Never raises for bad input. A `Once` stands first."""
        ...


class Watcher(Protocol):
    """Who looks on: logs and metrics. Called after the commit, must return at once and never raise."""

    def committed(self, batch: "Batch", *, commit_s: float) -> None:
        """A batch is durable."""
        ...

    def commit_failed(self, reason: str) -> None:
        """The store did not take it; it will be offered again."""
        ...


class PipelineConfig(Struct, frozen=True):
    """The bounds that the pipeline keeps."""

    batch_events_max: int
    batch_age_us: int
    commit_retry_us: int
    limits: BatchLimits


class Batch(Struct, frozen=True):
    """One batch, judged: the messages to acknowledge, and everything that the transaction will write."""

    received: tuple[Received, ...]
    changes: BatchChanges
    steps: tuple[CoreStep, ...]
    judged: Mapping[tuple[str, str, str], int] = {}
    """How many events there were of a door, a type, and `new` or `duplicate`."""

    @property
    def events(self) -> int:
        """How many events were new."""
        return len(self.changes.events)

    @property
    def intents(self) -> tuple[Intent, ...]:
        """What is to be done once this is durable."""
        return self.changes.intents


class Pipeline:
    """Events in, intents out. One task runs it; `stop` ends it after the batch under way."""

    def __init__(
        self,
        *,
        doors: Doors,
        decoder: Decoder,
        seen: SeenIds,
        core: Core,
        store: Store,
        submit: Callable[[Sequence[Intent]], None],
        watcher: Watcher,
        clock: Clock,
        config: PipelineConfig,
    ) -> None:
        self._doors = doors
        self.decoder = decoder
        self._seen = seen
        self._core = core
        self._store = store
        self._submit = submit
        self._watcher = watcher
        self._clock = clock
        self._config = config
        self._stopping = asyncio.Event()
        self._core_lock = asyncio.Lock()
        self._waiting: asyncio.Timeout | None = None
        self._pending: Sequence[Received] = ()
        self._arrived_s = clock.monotonic_s()
        self._flowing_since_s: float | None = None
        self._shut_since_s: float | None = self._arrived_s
        self.commit_failing = ""
        """Why the store takes nothing at present; empty while it does."""

    def stop(self) -> None:
        """Take up no further batch; the one under way is finished, or left unacknowledged if the store refuses it."""
        self._stopping.set()
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping.is_set():
            received = self._pending or await self._receive()
            if self._stopping.is_set() and not received:
                return
            async with self._core_lock:
                batch = self._judge(received)
                if batch is None or not await self._commit(batch):
                    continue
            await self._doors.acknowledge(batch.received)
            self._submit(batch.intents)

    def reconfigure(self, decoder: Decoder, config: PipelineConfig) -> None:
        """Other formats and bounds, from the next batch on."""
        self.decoder = decoder
        self._config = config

    async def change_core(
        self, change: Callable[[Core], CoreStep | None], also: Callable[[Connection], object] | None = None
    ) -> CoreStep | None:
        """Let `change` do something to the core (new rules, a closed incident) between two batches, and commit that.

        `also` writes what belongs to it in the same transaction; it must not raise, nor mind being called again.
        Returns once it is durable; raises StoreBusyOrFull where the store does not take it before `stop`.
        """
        async with self._core_lock:
            step = change(self._core)
            batch = self._batch((), [step] if step is not None else [], events=[], seen=[], letters=[], judged={})
            if not await self._commit(batch, also):
                raise StoreBusyOrFull(self.commit_failing)
        self._submit(batch.intents)
        return step

    async def _receive(self) -> Sequence[Received]:
        """The next messages; none if a timer of the core is due first, or on `stop`."""
        due_us = self._core.next_due_us()
        wait_s = IDLE_TICK_S
        if due_us is not None:
            wait_s = min(wait_s, max(0.0, self._held_s(), (due_us - self._clock.now_us()) / SECOND_US))
        count_max = self._config.batch_events_max
        try:
            async with asyncio.timeout(wait_s) as self._waiting:
                received = list(await self._doors.receive(count_max))
        except TimeoutError:
            return []
        finally:
            self._waiting = None
        if any(each.events != () for each in received):
            self._arrived_s = self._clock.monotonic_s()
            self._flowing_since_s = self._flowing_since_s or self._arrived_s
        age_us = self._clock.now_us() - received[0].received_us
        if len(received) < count_max and age_us < self._config.batch_age_us:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((self._config.batch_age_us - age_us) / SECOND_US):
                    while len(received) < count_max:
                        received += await self._doors.receive(count_max - len(received))
        return received

    def _judge(self, received: Sequence[Received]) -> Batch | None:
        """Decode, leave out what was seen, run the core; None where nothing at all came of it.

        Takes messages until they held `batch_events_max` events; the others are left for the next batch.
        """
        steps: list[CoreStep] = []
        events: list[Event] = []
        letters: list[DeadLetter] = []
        seen: list[bytes] = []
        judged: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        taken = events_count = 0
        if self._core.core_us > (now_us := self._clock.now_us()) + SET_BACK_US:
            _log.warning("the clock was set back", seconds=(self._core.core_us - now_us) // SECOND_US)
            self._core.set_back(now_us)
        if any(each.received_us > now_us for each in received):
            # They came before the clock was set back: to the core they come now.
            received = [msgspec.structs.replace(each, received_us=min(each.received_us, now_us)) for each in received]
        for message in received:
            if events_count + len(letters) >= self._config.batch_events_max:
                break
            taken += 1
            for item in self._unrepeated(message, seen):
                if isinstance(item, DeadLetter):
                    letters.append(item)
                    continue
                identity = digest(item.source, item.id)
                new = self._seen.add(identity, message.received_us)
                judged[message.door, item.type, "new" if new else "duplicate"] += 1
                events_count += 1
                if not new:
                    continue
                seen.append(identity)
                events.append(item)
                step = self._core.event(item, message.received_us)
                if step is not EMPTY:  # as most are: nothing of it would be written
                    steps.append(step)
        received, self._pending = received[:taken], received[taken:]
        # While events come, they move the core's time themselves, so that none is overtaken by the clock.
        if not self._pending and not len(self._doors) and self._held_s() <= 0:
            self._flowing_since_s = None
            steps.append(self._core.tick(self._clock.now_us()))
        batch = self._batch(received, steps, events=events, seen=seen, letters=letters, judged=judged)
        return batch if received or _has_changes(batch.changes) else None

    def _unrepeated(self, message: Received, seen: list[bytes]) -> Iterable[Event | DeadLetter]:
        """What a message gives; where it is signed and that signing came before, what stands in its place."""
        items = self.decoder.decode(message)
        if not items or not isinstance(items[0], Once):
            return cast("Sequence[Event | DeadLetter]", items)
        once, rest = items[0], cast("Sequence[Event | DeadLetter]", items[1:])
        if once.signed_us < self._seen.floor_us or not self._seen.add(once.identity, message.received_us):
            return once.otherwise
        seen.append(once.identity)
        return rest

    def _held_s(self) -> float:
        """How long the clock has to hold still yet, so that it does not overtake events that are on their way."""
        now_s = self._clock.monotonic_s()
        shut = not all(door.connected for door in self._doors.status())
        if shut and self._shut_since_s is None:
            self._shut_since_s = now_s
        elif not shut and self._shut_since_s is not None:
            self._shut_since_s, self._arrived_s = None, now_s
        held_s = self._arrived_s + QUIET_S - now_s
        if self._shut_since_s is not None:
            # Looked at again soon: a door may open at any time.
            held_s = max(held_s, min(QUIET_S, self._shut_since_s + SHUT_MAX_S - now_s))
        if self._flowing_since_s is not None:
            held_s = min(held_s, self._flowing_since_s + FLOW_MAX_S - now_s)
        return held_s

    def _batch(
        self,
        received: Sequence[Received],
        steps: Sequence[CoreStep],
        *,
        events: Sequence[Event],
        seen: Sequence[bytes],
        letters: Sequence[DeadLetter],
        judged: Mapping[tuple[str, str, str], int],
    ) -> Batch:
        drained = self._core.drain_changes()
        changes = BatchChanges(
            at_us=received[0].received_us if received else self._clock.now_us(),
            seen=tuple(seen),
            events=tuple(events),
            matched_us=self._clock.now_us(),
            states=tuple(drained),
            facts=((CORE_CLOCK, str(self._core.core_us).encode()),),
            # An incident that opened and changed within the batch is written once, as it is at the end.
            incidents=tuple({each.id: each for step in steps for each in (*step.opened, *step.updated)}.values()),
            reopened=tuple(each.id for step in steps for each in step.reopened),
            intents=tuple(intent for step in steps for intent in step.intents),
            skipped=tuple(intent for step in steps for intent in step.skipped),
            faults=tuple(fault for step in steps for fault in step.faults),
            deadletters=tuple(map(_stored, letters)),
        )
        return Batch(received=tuple(received), changes=changes, steps=tuple(steps), judged=judged)

    async def _commit(self, batch: Batch, also: Callable[[Connection], object] | None = None) -> bool:
        """Write the batch, for as long as it takes; False where `stop` came before the store took it."""

        def commit(connection: Connection) -> None:
            commit_batch(connection, batch.changes, self._config.limits)
            if also is not None:
                also(connection)

        while True:
            began_s = self._clock.monotonic_s()
            try:
                await self._store.write(commit)
            except StoreBusyOrFull as error:
                self.commit_failing = str(error)
                self._watcher.commit_failed(self.commit_failing)
                self._doors.pause()
                if await self._stopped_within(self._config.commit_retry_us / SECOND_US):
                    return False
                continue
            if self.commit_failing:
                _log.info("the store takes batches again")
                self.commit_failing = ""
                self._doors.resume()
            self._watcher.committed(batch, commit_s=self._clock.monotonic_s() - began_s)
            return True

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()


def _has_changes(changes: BatchChanges) -> bool:
    return bool(changes.states or changes.incidents or changes.intents or changes.faults or changes.deadletters)


def _stored(letter: DeadLetter) -> StoredLetter:
    return StoredLetter(
        id=0,
        at_us=letter.received_us,
        source=letter.door,
        topic=letter.topic,
        reason=letter.reason,
        payload_bytes=letter.size_bytes,
        payload=letter.payload,
        content_type=letter.content_type,
        properties=letter.properties,
        retained=letter.retained,
        proved=letter.proved,
    )

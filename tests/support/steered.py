"""A daemon that only remembers how it was steered, behind a real control socket on a real database."""

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.clock import to_datetime
from engine.config import BudgetConfig
from engine.diagnostics import error
from engine.model import Mode
from engine.operate import views
from engine.operate.contract import Act, Advance, Close, Done, Handed, Handing, NotDone, NotFound, Taken, WatchKey
from engine.operate.control import ControlServer
from engine.operate.metrics import Metrics
from engine.operate.scrape import Scrape
from engine.operate.shown import Door, Live, LoadedRules, Stored
from engine.store.connection import Connection
from engine.store.database import Store
from tests.support.stored import LEASE, START_US

BUDGETS = {"training": BudgetConfig(held_max=5, per_hour_max=10), "endpoint": BudgetConfig()}
LIVE = Live(
    version="0.1.0",
    pid=4711,
    started=to_datetime(START_US),
    mode=Mode.ENFORCE,
    rules=LoadedRules(rules=12, signals=20, playbooks=4, files=6, digest="abc", loaded=to_datetime(START_US)),
    doors=(
        Door(name="local", kind="mqtt", connected=True, events=322, detail="127.0.0.1:1883"),
        Door(name="far", kind="mqtt", connected=False, detail="connection refused; next try in 4 s"),
    ),
    events=322,
    events_per_s=12.4,
    in_flight=3,
    in_flight_max=2_000,
)


class FakeSteering:
    """Takes every act, remembers (act, who, details), and answers as a daemon would."""

    def __init__(self) -> None:
        self.acts: list[tuple[object, ...]] = []
        self.bad_rules = False

    async def status(self) -> Live:
        return LIVE

    async def release_lease(self, lease: str, *, who: str, reason: str) -> Act:
        self.acts.append(("release", who, lease, reason))
        return (
            Done(detail=f"released {lease}") if lease == LEASE.id else NotFound(reason=f"there is no lease `{lease}`")
        )

    async def approve(self, intent: str, *, who: str) -> Act:
        self.acts.append(("approve", who, intent))
        return Done(detail=f"approved {intent}")

    async def deny(self, intent: str, *, who: str, reason: str) -> Act:
        self.acts.append(("deny", who, intent, reason))
        return Done(detail=f"denied {intent}")

    async def acknowledge(self, incident: str, *, who: str, reason: str) -> Act:
        self.acts.append(("ack", who, incident, reason))
        return Done(detail=f"acknowledged {incident}")

    async def advance(self, incident: str, wanted: Advance, *, who: str) -> Act:
        self.acts.append(("advance", who, incident, wanted.to, wanted.reason))
        return Done(detail=f"advanced {incident}")

    async def close_incident(self, incident: str, wanted: Close, *, who: str) -> Act:
        self.acts.append(("close", who, incident, wanted.resolution.value, wanted.reason))
        return NotDone(reason="a lease is in conflict: release it first")

    async def reopen(self, incident: str, *, who: str, reason: str) -> Act:
        self.acts.append(("reopen", who, incident, reason))
        return Done(detail=f"reopened {incident}")

    async def watch(self, wanted: WatchKey, *, who: str) -> Act:
        self.acts.append(("watch", who, wanted.key, wanted.for_us, wanted.reason))
        return Done(detail="watched")

    async def unwatch(self, wanted: WatchKey, *, who: str) -> Act:
        self.acts.append(("unwatch", who, wanted.key, wanted.reason))
        return NotFound(reason="it is not on the watch list")

    async def pause(self, *, who: str, reason: str) -> Act:
        self.acts.append(("pause", who, reason))
        return Done(detail="paused")

    async def resume(self, *, who: str) -> Act:
        self.acts.append(("resume", who))
        return Done(detail="resumed")

    async def reload(self, *, who: str) -> Act:
        self.acts.append(("reload", who))
        if self.bad_rules:
            wrong = error("H012", "unknown action `slurm.suspnd`", help="did you mean `slurm.suspend`?")
            return NotDone(reason="the old rules go on running", diagnostics=(wrong,))
        return Done(detail="reloaded")

    async def drop_deadletter(self, number: int, *, who: str) -> Act:
        self.acts.append(("drop", who, number))
        return Done(detail=f"dropped {number}")

    async def retry_deadletter(self, number: int, *, who: str) -> Act:
        self.acts.append(("retry", who, number))
        return Done(detail=f"taken {number}") if number == 1 else NotDone(reason="still no event: not JSON")

    async def hand_in(self, handed: Handed, *, who: str) -> Handing:
        self.acts.append(("hand in", who, [json.loads(bytes(each)) for each in handed.events], handed))
        if not handed.enforce:
            return NotDone(reason="the daemon enforces")
        return Taken(new=len(handed.events), duplicates=0)


@contextlib.contextmanager
def serving(socket_path: Path, database: Path, *, group: str = "halon") -> Iterator[FakeSteering]:
    """Serves the control socket from a thread of its own until the block ends."""
    steering, started, failed = FakeSteering(), threading.Event(), []
    stopping: list[Callable[[], object]] = []

    async def serve() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stopping.append(lambda: loop.call_soon_threadsafe(stop.set))
        store = await Store.open(database)

        def stored(db: Connection) -> Stored:
            return views.stored(db, now_us=START_US, budgets={})

        def budgeted(db: Connection) -> Stored:
            return views.stored(db, now_us=START_US, budgets=BUDGETS)

        scrape = Scrape(
            Metrics(),
            status=steering.status,
            read=store.read,
            stored=budgeted,
            evictions=lambda: Counter({"signal.loss-spike": 3}),
            paused=lambda: False,
        )
        try:
            server = ControlServer(
                socket_path,
                steering=steering,
                read=store.read,
                apart=store.apart,
                stored=stored,
                metrics=scrape.render,
                group=group,
            )
            await server.start()
            started.set()
            await stop.wait()
            await server.stop()
        finally:
            await store.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as problem:  # noqa: BLE001  # handed to the test
            failed.append(problem)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="control")
    thread.start()
    started.wait(20)
    if failed:
        thread.join()
        raise failed[0]
    try:
        yield steering
    finally:
        stopping[0]()
        thread.join(20)
        assert not thread.is_alive(), "the control server did not stop"
        if failed:
            raise failed[0]

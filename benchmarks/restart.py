"""A restart: from the start of the process until READY, with windows of a million keys and ten thousand open incidents.

    python -m benchmarks.restart [KEYS] [INCIDENTS]

The store is made by the core and the store's own commits, with the ids of all events of the last hour in it. Then the
real daemon starts on it, beside a real mosquitto, and says READY to the socket that systemd would listen on.
"""

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from engine.clock import SystemClock
from engine.config import LimitsConfig
from engine.core import Core, CoreStep
from engine.detectors.table import DETECTORS
from engine.model import Event
from engine.pipeline import CORE_CLOCK
from engine.rulefile.load import load_rules
from engine.store.batch import BatchChanges, BatchLimits, commit_batch
from engine.store.database import Store
from engine.store.seen import digest
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto

RULES = """
[signal.counted]
on = "x.counted"
by = { key = "event.subject" }
detect = { method = "count", at_least = 5, within = "1h" }

[signal.averaged]
on = "x.averaged"
by = { key = "event.subject" }
value = "event.data.v"
detect = { method = "mean", above = 9, within = "1h" }

[signal.silent]
on = "x.beat"
by = { key = "event.subject" }
detect = { method = "absence", for = "30d" }

[signal.bad]
on = "x.bad"
by = { key = "event.subject" }

[rule.r]
incident = "fairness"
severity = "low"
by = ["key"]
when = { any = ["counted", "averaged", "silent"] }

[rule.bad]
incident = "data-poisoning"
severity = "low"
by = ["key"]
when = { any = ["bad"] }
"""
KINDS = ("x.counted", "x.averaged", "x.beat")
BATCH = 5_000
READY_S_MAX = 300.0
WANTED_S = 10.0


def step_changes(core: Core, steps: Sequence[CoreStep], events: Sequence[Event], at_us: int) -> BatchChanges:
    """What the pipeline would commit of them."""
    return BatchChanges(
        at_us=at_us,
        matched_us=at_us,
        seen=tuple(digest(each.source, each.id) for each in events),
        states=tuple(core.drain_changes()),
        facts=((CORE_CLOCK, str(core.core_us).encode()),),
        incidents=tuple({each.id: each for step in steps for each in (*step.opened, *step.updated)}.values()),
    )


async def fill(path: Path, rules: Path, keys: int, incidents: int) -> None:
    """A store as a daemon leaves it that was killed just now."""
    loaded, found = load_rules([rules], catalogue={}, detectors=DETECTORS)
    assert loaded is not None, found
    core, store, limits = Core(loaded, LimitsConfig(keys_max=keys)), await Store.open(path), BatchLimits()
    now_us = SystemClock().now_us()
    for start in range(0, keys + incidents, BATCH):
        numbers = range(start, min(start + BATCH, keys + incidents))
        events = [
            Event(
                f"e{number}",
                "bench",
                KINDS[number % len(KINDS)] if number < keys else "x.bad",
                now_us,
                f"key-{number:07d}",
                {"v": 1},
            )
            for number in numbers
        ]
        steps = [core.event(event, now_us) for event in events]
        changes = step_changes(core, steps, events, now_us)
        await store.write(lambda connection, changes=changes: commit_batch(connection, changes, limits))
    assert core.sizes()[0] == keys
    assert len(core.open_incidents()) == incidents
    await store.close()


def until_ready(listener: socket.socket, halon: Daemon) -> float:
    """Seconds from the start of the process until it says READY."""
    began = time.perf_counter()
    halon.launch()
    listener.settimeout(READY_S_MAX)
    while b"READY=1" not in listener.recv(4_096).split(b"\n"):
        pass
    return time.perf_counter() - began


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(keys: int, incidents: int) -> None:
    print("### Restart until READY\n")
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name)) as broker:
        folder = Path(name)
        address = folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(address))
            halon = Daemon(
                folder,
                port=broker.port,
                rules=RULES,
                config=f"[limits]\nkeys_max = {keys}\n",
                environment={"NOTIFY_SOCKET": str(address)},
            )
            halon.state.mkdir(mode=0o700)
            empty_s = until_ready(listener, halon)
            halon.kill()
            for each in halon.state.glob("halon.db*"):
                each.unlink()
            began = time.perf_counter()
            asyncio.run(fill(halon.database, halon.rules, keys, incidents))
            filled_s = time.perf_counter() - began
            print("| keys | open incidents | store, MB | until READY, s | processor, s | RSS, MB |")
            print("|---:|---:|---:|---:|---:|---:|", flush=True)
            for _ in range(3):
                size = sum(each.stat().st_size for each in halon.state.glob("halon.db*"))
                ready_s = until_ready(listener, halon)
                status = halon.status().live
                assert status is not None
                print(
                    f"| {keys:,} | {incidents:,} | {size / 1e6:.0f} | {ready_s:.1f} | {cpu_s(halon.pid):.1f} | "
                    f"{halon.rss_mib() * 1.048576:.0f} |",
                    flush=True,
                )
                assert status.keys_held >= keys, status.keys_held
                halon.kill()
            halon.close()
            print(f"\nAn empty store: {empty_s:.1f} s. Wanted: {WANTED_S:g} s. Filled in {filled_s:.0f} s.\n")


if __name__ == "__main__":
    asked = [int(each.replace(",", "")) for each in sys.argv[1:]]
    main(asked[0] if asked else 1_000_000, asked[1] if len(asked) > 1 else 10_000)

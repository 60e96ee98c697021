"""Work C: what the state of a key costs in memory and on disk, and how long it takes to save and to load.

    python -m benchmarks.state [KEYS]        # a million keys; 2 to 3 minutes

One key per event, as a daemon does it: judged, drained and committed 500 at a time to a real SQLite store, which a
second process reads back into a fresh core, and touches a part of. Each window has processes of its own, so that the
memory of one is not missing from the next. Seconds are of the processor; a busy machine does not change them much.
"""

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peers import rules_of
from engine.collector import at_rest, calm
from engine.config import LimitsConfig
from engine.core import Core
from engine.model import Event
from engine.rulefile.rules import RuleSet
from engine.store import state
from engine.store.connection import Connection
from engine.store.database import Store

WINDOWS = {
    "count, 5 in 60 s": 'detect = { method = "count", at_least = 5, within = "60s" }',
    "mean over 60 s": 'value = "event.data.v"\ndetect = { method = "mean", above = 9, within = "60s" }',
    "absence for 1 d": 'detect = { method = "absence", for = "1d" }',
}
START_US = 1_767_225_600_000_000
BATCH = 500
TOUCHED = 50_000
HEADER = """### Work C: the cost of state

| window | keys | bytes/key in memory | after a restart | bytes/key written | on disk | judge and drain, µs/key | \
commit, µs/key | load, s (clock) | first touch, µs |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def rules_for(window: str) -> RuleSet:
    """One signal per key with that window, and a rule over it."""
    return rules_of(
        f'[signal.s]\non = "x"\nby = {{ key = "event.subject" }}\n{WINDOWS[window]}\n'
        '[rule.r]\nincident = "fairness"\nseverity = "low"\nby = ["key"]\nwhen = { any = ["s"] }\n'
    )


def event(number: int, at_us: int) -> Event:
    """The event of one key."""
    return Event(f"e{number}", "bench", "x", at_us, f"key-{number:07d}", {"v": 1})


def rss() -> int:
    """Resident memory of this process, in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


async def save(window: str, keys: int, path: Path) -> str:
    """Fill a core and a store; the middle of the line."""
    core = Core(rules_for(window), LimitsConfig(keys_max=keys))
    store = await Store.open(path)
    before, blobs, judged_s, committed_s = rss(), 0, 0.0, 0.0
    for start in range(0, keys, BATCH):
        began = time.process_time()
        for number in range(start, min(start + BATCH, keys)):
            core.event(event(number, START_US + number), START_US + number)
        changes = core.drain_changes()
        drained = time.process_time()
        blobs += sum(len(each.state or b"") for each in changes)
        await store.write(lambda connection, part=changes: state.put(connection, part))
        judged_s, committed_s = judged_s + drained - began, committed_s + time.process_time() - drained
    size = rss() - before
    await store.close()
    figures = (size / keys, blobs / keys, path.stat().st_size / keys, judged_s / keys * 1e6, committed_s / keys * 1e6)
    return " ".join(f"{each:.1f}" for each in figures)


async def load(window: str, keys: int, path: Path) -> str:
    """Read the store into a fresh core and touch some keys; the end of the line."""
    core, store = Core(rules_for(window), LimitsConfig(keys_max=keys)), await Store.open(path)

    def restore(connection: Connection) -> list[str]:
        return core.restore(state.load(connection))

    before, began, cpu = rss(), time.perf_counter(), time.process_time()
    with at_rest(settle=True):
        said = await store.read(restore)
    loaded_s, clock_s = time.process_time() - cpu, time.perf_counter() - began
    size = rss() - before
    assert not said
    assert core.sizes()[0] == keys
    touched = min(TOUCHED, keys)
    cpu = time.process_time()
    for number in range(touched):
        core.event(event(keys - 1 - number, START_US + keys), START_US + keys)
    touch_us = (time.process_time() - cpu) / touched * 1e6
    await store.close()
    return f"{size / keys:.1f} {loaded_s:.2f} {clock_s:.2f} {touch_us:.1f}"


def part(kind: str, window: str, keys: int, path: Path) -> list[float]:
    """The figures of `save` or `load` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.state", kind, window, str(keys), str(path)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(each) for each in found.stdout.split()]


def main(keys: int) -> None:
    """The table."""
    print(HEADER, flush=True)
    for window in WINDOWS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "halon.db"
            memory, blob, disk, judge_us, commit_us = part("save", window, keys, path)
            again, loaded_s, clock_s, touch_us = part("load", window, keys, path)
        print(
            f"| {window} | {keys:,} | {memory:.0f} | {again:.0f} | {blob:.0f} | {disk:.0f} | {judge_us:.1f} | "
            f"{commit_us:.1f} | {loaded_s:.1f} ({clock_s:.1f}) | {touch_us:.1f} |",
            flush=True,
        )
    print()


if __name__ == "__main__":
    if sys.argv[1:2] in (["save"], ["load"]):
        calm()  # as the daemon does
        chosen = save if sys.argv[1] == "save" else load
        print(asyncio.run(chosen(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))))
    else:
        main(int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 1_000_000)

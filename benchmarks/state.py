"""Work C: what the state of a key costs in memory, and how long it takes to save and to load.

    python -m benchmarks.state [KEYS]        # 100,000 keys; a million for the full figure

One key per event, for three kinds of window; saved to a real SQLite store, read back into a fresh core.
"""

import asyncio
import gc
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peers import rules_of
from engine.config import LimitsConfig
from engine.core import Core
from engine.model import Event
from engine.store import state
from engine.store.database import Store

WINDOWS = {
    "count, 5 in 60 s": 'detect = { method = "count", at_least = 5, within = "60s" }',
    "mean over 60 s": 'value = "event.data.v"\ndetect = { method = "mean", above = 9, within = "60s" }',
    "absence for 1 d": 'detect = { method = "absence", for = "1d" }',
}
START_US = 1_767_225_600_000_000
CHUNK = 50_000


def rss() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


async def measure(name: str, window: str, keys: int, folder: Path) -> None:
    rules = rules_of(
        f'[signal.s]\non = "x"\nby = {{ key = "event.subject" }}\n{window}\n'
        '[rule.r]\nincident = "fairness"\nseverity = "low"\nby = ["key"]\nwhen = { any = ["s"] }\n'
    )
    limits = LimitsConfig(keys_max=keys)
    core, before = Core(rules, limits), rss()
    began = time.perf_counter()
    for number in range(keys):
        core.event(
            Event(f"e{number}", "bench", "x", START_US + number, f"key-{number:07d}", {"v": 1}), START_US + number
        )
    filled_s, size = time.perf_counter() - began, rss() - before
    store = await Store.open(folder / "halon.db")
    began = time.perf_counter()
    changes = core.drain_changes()
    drained_s, rows = time.perf_counter() - began, len(changes)
    assert rows == keys
    blobs = sum(len(each.state or b"") for each in changes)
    began = time.perf_counter()
    for at in range(0, rows, CHUNK):
        await store.write(lambda connection, part=changes[at : at + CHUNK]: state.put(connection, part))
    saved_s = time.perf_counter() - began
    del core, changes
    gc.collect()
    fresh = Core(rules, limits)
    began = time.perf_counter()
    said = await store.read(lambda connection: fresh.restore(state.load(connection)))
    loaded_s = time.perf_counter() - began
    assert not said
    assert fresh.sizes()[0] == keys
    await store.close()
    print(
        f"| {name} | {keys:,} | {size / keys:.0f} | {blobs / keys:.0f} | {keys / filled_s:,.0f} | {drained_s:.1f} | "
        f"{saved_s:.1f} | {loaded_s:.1f} |",
        flush=True,
    )


async def main(keys: int) -> None:
    print("### Work C: the cost of state\n")
    print("| window | keys | bytes/key in memory | bytes/key written | events/s | drain, s | write, s | load, s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, window in WINDOWS.items():
        with tempfile.TemporaryDirectory() as folder:
            await measure(name, window, keys, Path(folder))
    print()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 100_000))

"""What a durable commit costs: `synchronous` FULL and NORMAL, one writer alone and many that share a transaction.

    python -m benchmarks.commits [FOLDER]     # the folder whose disk is measured

The daemon's own store and writer thread; a write is one row of 400 bytes. Alone: each waits for the one before.
Together: 64 are asked for at once, as batches, steps and operators do, and the writer commits what waits in one
transaction.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from engine.store.connection import Connection
from engine.store.database import Store
from engine.store.migrate import Migration

TABLE = (Migration(number=1, name="0001_t.sql", sql="CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB NOT NULL);\n"),)
WRITES = 1_000
TOGETHER = 64
ROUNDS = 3


def put(connection: Connection) -> None:
    """One row."""
    connection.execute("INSERT INTO t (body) VALUES (zeroblob(400))")


async def rate(folder: Path, synchronous: str, together: int) -> float:
    """Durable writes a second."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        store = await Store.open(Path(name) / "t.db", migrations=TABLE)
        await asyncio.to_thread(store._connection.execute, f"PRAGMA synchronous = {synchronous}")  # noqa: SLF001
        began = time.perf_counter()
        for _ in range(WRITES // together):
            await asyncio.gather(*(store.write(put) for _ in range(together)))
        passed = time.perf_counter() - began
        await store.close()
    return WRITES // together * together / passed


async def main(folder: Path) -> None:
    print("### A durable commit\n")
    print("| synchronous | writes a second, alone | 64 together |")
    print("|---|---:|---:|")
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for synchronous in ("FULL", "NORMAL"):
            for together in (1, TOGETHER):
                found.setdefault((synchronous, together), []).append(await rate(folder, synchronous, together))
    for synchronous in ("FULL", "NORMAL"):
        alone, shared = (sorted(found[synchronous, together])[ROUNDS // 2] for together in (1, TOGETHER))
        print(f"| {synchronous} | {alone:,.0f} | {shared:,.0f} |")
    print()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd()))

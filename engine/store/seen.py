"""Event ids to `new or seen before`: deduplication by (source, id) within a horizon.

The pipeline asks `SeenIds` in memory, since a lookup per event in the database would cost more than the matching.
What a batch added is one row of 16-byte digests, written with the batch; `load` reads them back at start.
"""

import hashlib
import sqlite3
from collections import deque
from collections.abc import Sequence

DIGEST_BYTES = 16
"""128 bits: a stranger must not be able to find an id that makes another one look like a duplicate."""
IDS_MAX = 5_000_000
"""Ids remembered (about 110 bytes each); past this the oldest are forgotten before the horizon."""
_BEGUN = hashlib.blake2b(digest_size=DIGEST_BYTES)
"""Copied for each digest: a third less than to begin one."""
_SLICES = 8
"""The horizon is forgotten in this many slices, so an id is remembered up to an eighth longer than it."""


def digest(source: str, event_id: str) -> bytes:
    """What stands for an event's identity in memory and in the store."""
    # The length makes ("a", "bc") and ("ab", "c") differ, whatever characters stand in them.
    text = f"{len(source)}:{source}{event_id}"
    made = _BEGUN.copy()
    made.update(text.encode("utf-8", "surrogatepass"))
    return made.digest()


class SeenIds:
    """The ids of the last `horizon_us`, by arrival. `forgotten_early` counts those that IDS_MAX pushed out."""

    def __init__(self, *, horizon_us: int, ids_max: int = IDS_MAX) -> None:
        self._slice_us = self._slice_us_max = max(1, horizon_us // _SLICES)
        self._horizon_us = horizon_us
        self._ids_max = ids_max
        self._slices: deque[tuple[int, set[bytes]]] = deque()
        self._count = 0
        self.forgotten_early = 0
        self.floor_us = 0
        """What arrived before this may be forgotten although the horizon reaches it, since there was too much."""

    def reconfigure(self, *, horizon_us: int) -> None:
        """Another horizon from now on; what was forgotten under a shorter one is not known again."""
        slice_us = max(1, horizon_us // _SLICES)
        # A slice that was begun under a longer horizon holds ids that are younger than it looks.
        self._slice_us_max = max(self._slice_us, slice_us)
        self._slice_us, self._horizon_us = slice_us, horizon_us

    def __len__(self) -> int:
        return self._count

    def __contains__(self, identity: bytes) -> bool:
        return any(identity in ids for _, ids in reversed(self._slices))

    def add(self, identity: bytes, now_us: int) -> bool:
        """Remember an id; True where it is new."""
        # Once per event, so a plain loop: most ids are new, and all slices are looked at in any case.
        for _, ids in self._slices:
            if identity in ids:
                return False
        self._slice_for(now_us).add(identity)
        self._count += 1
        if self._count > self._ids_max:
            self._shed()
        return True

    def load(self, connection: sqlite3.Connection, now_us: int) -> None:
        """Take over what was committed within the horizon."""
        rows = connection.execute(
            "SELECT at_us, digests FROM seen WHERE at_us >= ? ORDER BY seq", (now_us - self._horizon_us,)
        )
        for at_us, digests in rows:
            # Each of a row was new when it was written: there is no need to look for it.
            ids = self._slice_for(at_us)
            before = len(ids)
            ids.update([digests[start : start + DIGEST_BYTES] for start in range(0, len(digests), DIGEST_BYTES)])
            self._count += len(ids) - before
            self._shed()

    def shift(self, by_us: int) -> None:
        """The clock was set by so much: the horizon is counted as before."""
        self._slices = deque((since_us + by_us, ids) for since_us, ids in self._slices)

    def _slice_for(self, now_us: int) -> set[bytes]:
        """Where an id of now belongs; begins another slice where the last is full or over."""
        if self._slices:
            since_us, ids = self._slices[-1]
            if now_us < since_us + self._slice_us and len(ids) < max(1, self._ids_max // _SLICES):
                return ids
        made: set[bytes] = set()
        self._slices.append((now_us, made))
        self._forget(now_us)
        return made

    def _shed(self) -> None:
        """Forget the oldest slices where there are too many ids."""
        while self._count > self._ids_max and len(self._slices) > 1:
            self.forgotten_early += len(self._slices[0][1])
            self._drop_oldest()
            self.floor_us = self._slices[0][0]

    def _forget(self, now_us: int) -> None:
        # A slice goes when its youngest id is older than the horizon.
        while self._slices and self._slices[0][0] + self._slice_us_max + self._horizon_us <= now_us:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, ids = self._slices.popleft()
        self._count -= len(ids)


def put(connection: sqlite3.Connection, digests: Sequence[bytes], at_us: int) -> None:
    """Write the ids of one batch."""
    if digests:
        connection.execute("INSERT INTO seen (at_us, digests) VALUES (?, ?)", (at_us, b"".join(digests)))


def prune(connection: sqlite3.Connection, *, before_us: int, rows_max: int = 8) -> int:
    """Forget batches older than `before_us`, oldest first, looking at `rows_max` at most; how many went."""
    oldest = connection.execute("SELECT seq, at_us FROM seen ORDER BY seq LIMIT ?", (rows_max,)).fetchall()
    gone = [(seq,) for seq, at_us in oldest if at_us < before_us]
    connection.executemany("DELETE FROM seen WHERE seq = ?", gone)
    return len(gone)

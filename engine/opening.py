"""The files of the store to an open `Store`, whatever state they are in, with what is wrong said loudly.

A damaged store is kept aside and a new one begun, so that containment goes on; not without end: where that happens
again and again the machine is broken, and the daemon does not start. `engine.app` calls it.
"""

from pathlib import Path

from engine import logs
from engine.clock import SECOND_US, Clock
from engine.store import audit
from engine.store.damage import forget_met, kept_aside, met, move_aside, note_met
from engine.store.database import Store
from engine.store.errors import StoreCorrupt, StoreError

SPAN_US = 3_600 * SECOND_US
"""What came longer ago does not count for the two bounds below."""
MET_MAX = 3
"""So often a store that looks sound is taken up again after SQLite found it damaged while the daemon ran."""
ASIDE_MAX = 3
"""So many damaged stores are set aside; the next one ends the daemon."""

_log = logs.get_logger("halon")


async def open_store(path: Path, *, key: bytes | None, clock: Clock) -> Store:
    """The store, its audit chain checked. Raises StoreError where it can't be opened, or is damaged again and again."""
    now_us = clock.now_us()
    try:
        store = await _open_suspected(path, key, now_us)
    except StoreCorrupt as error:
        _require_patience(path, now_us, error)
        aside = move_aside(path, now_us)
        _log.critical(
            "the store is damaged; it is kept aside and a new one is begun. Leases in it are not known any more:"
            " look at what is contained by hand",
            reason=str(error),
            kept=str(aside),
        )
        store = await Store.open(path, audit_key=key)
    if store.lost is not None:
        _log.critical(
            "the write-ahead log of the store is damaged: its last commits and the events that they acknowledged are"
            " lost. It goes on with what came before; look at what is contained by hand",
            pages=store.lost.pages,
            kept=str(store.lost.kept),
        )
    problem = await store.read(lambda connection: audit.verify(connection, key=key))
    if problem is not None:
        _log.critical("the audit log does not hold; `halon audit verify` says where", problem=str(problem))
    return store


def say_damaged(path: Path, error: StoreCorrupt, clock: Clock) -> None:
    """SQLite found damage while the daemon ran, which ends it: say so, and note it for the next start."""
    note_met(path, clock.now_us(), str(error))
    _log.critical(
        "the store is damaged: nothing more is committed or acknowledged, and the daemon ends. The next start looks at"
        " all of it, keeps it aside where it is broken and begins a new one; look at the disk (`dmesg`)",
        reason=str(error),
        file=str(path),
    )


async def _open_suspected(path: Path, key: bytes | None, now_us: int) -> Store:
    """Open it; after damage was met while the daemon ran, only if nothing at all is wrong and that was not often."""
    times = met(path)
    store = await Store.open(path, audit_key=key, now_us=now_us, whole=bool(times))
    if not times:
        return store
    lately = sum(each > now_us - SPAN_US for each in times)
    if lately >= MET_MAX:
        await store.close()
        raise StoreCorrupt(f"{path} looks sound, but was found damaged {lately} times within an hour")
    if not lately or store.lost is not None:  # long ago, or explained
        forget_met(path)
    else:
        _log.critical(
            "the store was found damaged while the daemon ran, and is sound now: memory or the disk fails. It goes on"
            " with it",
            file=str(path),
            times=lately,
        )
    return store


def _require_patience(path: Path, now_us: int, error: StoreCorrupt) -> None:
    lately = [name for name, at_us in kept_aside(path).items() if at_us > now_us - SPAN_US]
    if len(lately) >= ASIDE_MAX:
        raise StoreError(
            f"{error}; {len(lately)} damaged stores were kept aside within an hour already ({', '.join(lately)}): the"
            f" disk or the memory fails. Nothing is contained until it is repaired, or `daemon.state_dir` is elsewhere;"
            " to start regardless, move these files away"
        ) from error

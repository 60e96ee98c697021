"""A pass over the store in a process of its own: a real process, on a real SQLite file."""

import asyncio
import sqlite3

import msgspec
import pytest

from engine.model import Event
from engine.store import around, incidents, recorder
from engine.store.around import Around
from engine.store.database import Store
from engine.store.errors import StoreBusyOrFull, StoreClosed, StoreCorrupt
from engine.store.pinned import Packed
from engine.store.recorder import RecorderLimits
from tests.support.acting import START_US, incident

ONE = incident()
REQUEST = msgspec.msgpack.encode(Around((ONE.id,), 50, 20, 9, START_US))


def fill(connection):
    """An incident with an event."""
    incidents.put(connection, ONE, at_us=START_US)
    recorder.put(connection, [Event("e", "/s", "t", START_US, "inc-1")], START_US, RecorderLimits())


def test_it_sees_what_was_committed(tmp_path):
    """Beside the store that is open for writing."""

    async def scenario():
        store = await Store.open(tmp_path / "halon.db")
        try:
            await store.write(fill)
            answer = await store.apart(around.__name__, REQUEST)
        finally:
            await store.close()
        (packed,) = msgspec.msgpack.decode(answer, type=list[Packed])
        assert (packed.incident, packed.events) == (ONE.id, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("module", "request_", "said"),
    [("engine.store.nowhere", b"", "No module named"), (around.__name__, b"?", "ended with 1")],
)
def test_a_pass_that_fails_says_why(tmp_path, module, request_, said):
    """As an error that is tried again, with the last words of the process."""

    async def scenario():
        store = await Store.open(tmp_path / "halon.db")
        try:
            with pytest.raises(StoreBusyOrFull, match=said):
                await store.apart(module, request_)
        finally:
            await store.close()
        with pytest.raises(StoreClosed):
            await store.apart(module, request_)

    asyncio.run(scenario())


def test_a_pass_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    """It holds a snapshot, which keeps the log from being cut back."""
    monkeypatch.setattr("engine.store.apart.WITHIN_S", 0.0)

    async def scenario():
        store = await Store.open(tmp_path / "halon.db")
        try:
            with pytest.raises(StoreBusyOrFull, match="did not end within"):
                await store.apart(around.__name__, REQUEST)
        finally:
            await store.close()

    asyncio.run(scenario())


def test_a_store_that_closes_waits_for_no_pass(tmp_path, monkeypatch):
    """It is killed: a daemon that stops has only so much time."""
    (tmp_path / "forever.py").write_text("import signal\nsignal.pause()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def scenario():
        store = await Store.open(tmp_path / "halon.db")
        said, _ = await asyncio.gather(store.apart("forever", b""), store.close(), return_exceptions=True)
        assert isinstance(said, StoreBusyOrFull)
        assert "ended with -9" in str(said)

    asyncio.run(scenario())


def test_a_pass_that_finds_damage_says_that(tmp_path):
    """And the store tells whoever waits for it."""

    async def scenario():
        store = await Store.open(tmp_path / "halon.db")
        try:
            await store.write(fill)
            with sqlite3.connect(store.path) as other:
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            other.close()
            with store.path.open("r+b") as file:
                file.seek(4_096)
                file.write(b"\xff" * (store.path.stat().st_size - 4_096))
            with pytest.raises(StoreCorrupt, match="is damaged"):
                await store.apart(around.__name__, REQUEST)
            assert isinstance(await store.damage(), StoreCorrupt)
        finally:
            await store.close()

    asyncio.run(scenario())

"""What is old by the config is taken away step by step, on a real store."""

import asyncio

from structlog.testing import capture_logs

from engine.clock import SECOND_US, Duration, VirtualClock
from engine.config import Config, IncidentsConfig, RetentionConfig
from engine.retention import Retention
from engine.store import archive, audit
from engine.store.database import Store
from tests.support.stored import INCIDENT, START_US, make_database

DAY_US = 86_400 * SECOND_US


def play(tmp_path, scenario, *, reopen_us=0, **retention):
    make_database(tmp_path / "halon.db")
    config = Config(
        retention=RetentionConfig(**{name: Duration(value) for name, value in retention.items()}),
        incidents=IncidentsConfig(reopen_within=Duration(reopen_us)),
    )

    async def all_of_it():
        store, clock = await Store.open(tmp_path / "halon.db"), VirtualClock(START_US)
        try:
            await scenario(store, clock, Retention(store, clock, tmp_path / "audit", config=lambda: config))
        finally:
            await store.close()

    asyncio.run(all_of_it())


async def close(store):
    def write(connection):
        connection.execute("UPDATE incidents SET state = 'closed', closed_us = ?", (START_US,))
        connection.execute("DELETE FROM lease_holders")

    await store.write(write)


async def there(store):
    return await store.read(
        lambda connection: bool(connection.execute("SELECT 1 FROM incidents WHERE id = ?", (INCIDENT.id,)).fetchone())
    )


def test_by_default_everything_is_kept(tmp_path):
    """After a hundred years too."""

    async def scenario(store, clock, retention):
        await close(store)
        await clock.advance_s(100 * 365 * 86_400)
        assert not await retention.step()
        assert await there(store)

    play(tmp_path, scenario)


def test_a_closed_incident_goes_when_it_is_old_and_can_not_be_reopened_any_more(tmp_path):
    """The longer of the two counts."""

    async def scenario(store, clock, retention):
        await close(store)
        await clock.advance_s(86_400 + 1)
        await retention.step()
        assert await there(store), "it may be reopened for another day"
        await clock.advance_s(86_400)
        await retention.step()
        assert not await there(store)

    play(tmp_path, scenario, incidents=DAY_US, reopen_us=2 * DAY_US)


def test_old_records_move_to_files_until_none_is_left_to_move(tmp_path, monkeypatch):
    """Each step is one file; the chain holds after each."""
    monkeypatch.setattr(archive, "RECORDS_MAX", 5)
    monkeypatch.setattr(archive, "RECORDS_MIN", 5)

    async def scenario(store, clock, retention):
        assert not await retention.step(), "nothing is old yet"
        await clock.advance_s(2 * 86_400)
        steps = 0
        while await retention.step():
            steps += 1
            assert await store.read(audit.verify) is None
        assert steps == len(archive.parts(tmp_path / "audit")) == 2
        assert (await store.read(audit.base)).seq == 10

    play(tmp_path, scenario, audit=DAY_US)


def test_a_folder_that_can_not_be_written_is_said_once_and_loses_nothing(tmp_path, monkeypatch):
    """The records stay where they are until it can."""
    monkeypatch.setattr(archive, "RECORDS_MAX", 5)
    monkeypatch.setattr(archive, "RECORDS_MIN", 5)
    (tmp_path / "audit").write_text("in the way")

    async def scenario(store, clock, retention):
        await clock.advance_s(2 * 86_400)
        assert not await retention.step()
        assert not await retention.step()
        assert (await store.read(audit.base)).seq == 0
        (tmp_path / "audit").unlink()
        assert await retention.step()

    with capture_logs() as logged:
        play(tmp_path, scenario, audit=DAY_US)
    assert [each["event"] for each in logged].count("what is old is not taken away") == 1

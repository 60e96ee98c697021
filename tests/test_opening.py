"""Opening a store in whatever state its files are: damage is said, kept aside, and ends where it does not end."""

import asyncio

import pytest
from structlog.testing import capture_logs

from engine.clock import SECOND_US, VirtualClock
from engine.opening import ASIDE_MAX, MET_MAX, SPAN_US, open_store, say_damaged
from engine.store.damage import kept_aside, met, note_met
from engine.store.database import Store
from engine.store.errors import StoreCorrupt, StoreError

START_US = 1_800_000_000 * SECOND_US


@pytest.fixture
def path(tmp_path):
    """A sound store that was closed in order."""
    found = tmp_path / "halon.db"

    async def make():
        await (await Store.open(found)).close()

    asyncio.run(make())
    return found


def opened(path, clock):
    """What opening it says, at level critical."""

    async def scenario():
        store = await open_store(path, key=None, clock=clock)
        await store.close()

    with capture_logs() as lines:
        asyncio.run(scenario())
    return [line["event"] for line in lines if line["log_level"] == "critical"]


def spoil(path):
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * 4_096)


def test_a_sound_store_is_opened_without_a_word(path):
    """No damage, nothing kept."""
    assert opened(path, VirtualClock(START_US)) == []
    assert kept_aside(path) == {}


def test_a_damaged_store_is_kept_aside_and_a_new_one_begun(path):
    """Which is said; so is where."""
    spoil(path)
    [said] = opened(path, VirtualClock(START_US))
    assert "kept aside" in said
    assert list(kept_aside(path).values()) == [START_US]
    assert opened(path, VirtualClock(START_US)) == []


def test_damage_that_comes_again_and_again_ends_the_daemon(path):
    """After the third store within an hour it does not start, and says what to do; the damaged one stays in place."""
    for number in range(ASIDE_MAX):
        spoil(path)
        opened(path, VirtualClock(START_US + number * SECOND_US))
    spoil(path)
    with pytest.raises(StoreError, match=r"3 damaged stores were kept aside within an hour already \(halon\.db\."):
        opened(path, VirtualClock(START_US + 60 * SECOND_US))
    assert len(kept_aside(path)) == ASIDE_MAX
    opened(path, VirtualClock(START_US + SPAN_US + 60 * SECOND_US))
    assert len(kept_aside(path)) == ASIDE_MAX + 1


def test_a_store_that_looks_sound_after_all_is_taken_up_again_but_not_without_end(path):
    """SQLite found damage that is not in the files; the third time it goes aside all the same."""
    clock = VirtualClock(START_US)
    for _ in range(MET_MAX - 1):
        say_damaged(path, StoreCorrupt("a page"), clock)
        [said] = opened(path, clock)
        assert "is sound now" in said
    say_damaged(path, StoreCorrupt("a page"), clock)
    [said] = opened(path, clock)
    assert "a new one is begun" in said
    assert len(kept_aside(path)) == 1
    assert met(path) == []


def test_damage_that_was_met_long_ago_is_forgotten(path):
    """Once all of the store was looked at."""
    note_met(path, START_US, "a page")
    assert opened(path, VirtualClock(START_US + 2 * SPAN_US)) == []
    assert met(path) == []


def test_damage_that_a_quick_look_passes_over_is_found_where_damage_was_met(path):
    """An index that says other than its table."""
    row = b"an-owner-of-a-window"

    async def put():
        store = await Store.open(path)
        await store.write(
            lambda connection: connection.execute("INSERT INTO windows VALUES (?, '{}', '', 1, x'')", (row.decode(),))
        )
        await store.close()

    asyncio.run(put())
    data = path.read_bytes()
    assert data.count(row) == 2, "once in the table, once in its index"
    path.write_bytes(data.replace(row, b"no" + row[2:], 1))
    assert opened(path, VirtualClock(START_US)) == []
    note_met(path, START_US, "a page")
    [said] = opened(path, VirtualClock(START_US))
    assert "a new one is begun" in said

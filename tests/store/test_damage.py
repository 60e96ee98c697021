"""Damaged files of a store: kept whole, and durable commits that the log lost are found, but not what crashes leave."""

import os
import shutil
import sqlite3
import struct
from contextlib import closing

import pytest

from engine.store.connection import connect
from engine.store.damage import copy_aside, find_lost, forget_met, kept_aside, met, move_aside, note_met

HEAD, FRAME = 32, 24 + 4_096


@pytest.fixture
def crashed(tmp_path):
    """A store as `kill -9` leaves it: three commits in the log, one page each, and the index that counts them."""
    live, left = tmp_path / "live" / "halon.db", tmp_path / "left" / "halon.db"
    live.parent.mkdir()
    left.parent.mkdir()
    with closing(connect(live)) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for number in range(3):
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        for file in live.parent.iterdir():
            shutil.copyfile(file, left.parent / file.name)
    return left


def log_of(path):
    return path.with_name(f"{path.name}-wal")


def spoil(path, at, with_=b"\xff" * 8):
    with log_of(path).open("r+b") as file:
        file.seek(at)
        file.write(with_)


def rows(path):
    with closing(sqlite3.connect(path)) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM t")]


def without_index(path):
    """As after a power cut."""
    path.with_name(f"{path.name}-shm").unlink()


def test_a_whole_log_lost_nothing(crashed):
    """Nor one that is not there, nor an empty one."""
    assert find_lost(crashed, 17) is None
    assert rows(crashed) == [0, 1, 2]
    log_of(crashed).unlink(missing_ok=True)
    assert find_lost(crashed, 17) is None


@pytest.mark.parametrize(("frame", "lost"), [(0, 3), (1, 2), (2, 1)])
def test_a_log_that_is_shorter_than_its_index_lost_commits(crashed, frame, lost):
    """SQLite reads up to the bad page, and would say nothing of the rest; the files are kept as they were."""
    spoil(crashed, HEAD + frame * FRAME + 200)
    damaged = log_of(crashed).read_bytes()
    found = find_lost(crashed, 17)
    assert found is not None
    assert found.pages == lost
    assert log_of(found.kept).read_bytes() == damaged
    assert found.kept.stat().st_mode & 0o777 == 0o600
    assert rows(crashed) == list(range(frame))


@pytest.mark.parametrize("how", ["head", "gone", "short"])
def test_a_log_without_its_head_or_its_end_lost_commits(crashed, how):
    """By the index, which counts what is not there."""
    match how:
        case "head":
            spoil(crashed, 4)
        case "gone":
            log_of(crashed).unlink()
        case "short":
            os.truncate(log_of(crashed), HEAD + FRAME)
    found = find_lost(crashed, 17)
    assert found is not None
    assert found.pages == (2 if how == "short" else 3)


@pytest.mark.parametrize(("frame", "lost"), [(0, 2), (1, 1)])
def test_without_an_index_a_commit_that_another_follows_was_durable(crashed, frame, lost):
    """After a power cut there is no index to ask: the commits behind the bad page tell, all but the last."""
    without_index(crashed)
    spoil(crashed, HEAD + frame * FRAME + 200)
    found = find_lost(crashed, 17)
    assert found is not None
    assert found.pages == lost


def test_what_a_power_cut_tears_is_no_loss(crashed):
    """The last commit alone may be torn: it was not yet synced."""
    without_index(crashed)
    spoil(crashed, HEAD + 2 * FRAME + 200)
    assert find_lost(crashed, 17) is None
    assert rows(crashed) == [0, 1]


def test_what_failed_commits_leave_behind_is_no_loss(crashed):
    """Commits of several attempts lie there, none of which carries on the checksum of the one before."""
    without_index(crashed)
    frames = log_of(crashed).read_bytes()[HEAD + FRAME :]
    second, third = frames[:FRAME], bytearray(frames[FRAME:])
    third[16:24] = struct.pack(">2I", 1, 2)
    spoil(crashed, HEAD + FRAME, bytes(second[:16]) + bytes(8) + bytes(second[24:]) + bytes(third))
    assert find_lost(crashed, 17) is None
    assert rows(crashed) == [0]


def test_a_log_that_is_folded_in_and_gone_lost_nothing(tmp_path):
    """All of it stands in the database."""
    live, left = tmp_path / "halon.db", tmp_path / "left.db"
    with closing(connect(live)) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        shutil.copyfile(live, left)
        shutil.copyfile(live.with_name("halon.db-shm"), left.with_name("left.db-shm"))
    assert find_lost(left, 17) is None


def test_damaged_files_are_moved_aside_whole_and_listed(crashed):
    """Database, log and index, oldest first; other files beside them are nobody's business here."""
    (crashed.parent / "halon.db.corrupt-x").touch()
    before = {each.name: each.read_bytes() for each in crashed.parent.glob("halon.db*") if "corrupt" not in each.name}
    aside = move_aside(crashed, 20)
    assert {each.name.replace(".corrupt-20", ""): each.read_bytes() for each in crashed.parent.glob("*-20*")} == before
    assert not crashed.exists()
    crashed.touch()
    move_aside(crashed, 3)
    assert kept_aside(crashed) == {"halon.db.corrupt-3": 3, aside.name: 20}


def test_what_was_copied_aside_is_not_replaced_by_what_became_of_it(crashed):
    """Opening it may have changed the files since."""
    first = crashed.read_bytes()
    copy_aside(crashed, 17)
    crashed.write_bytes(b"changed")
    assert move_aside(crashed, 17).read_bytes() == first
    assert not crashed.exists()


def test_that_damage_was_met_is_remembered_until_the_store_goes(crashed):
    """With its times; a line that makes no sense is left out."""
    assert met(crashed) == []
    note_met(crashed, 5, "a\nreason")
    note_met(crashed, 7, "another")
    with crashed.with_name("halon.db.damaged").open("a") as notes:
        notes.write("x y\n")
    assert met(crashed) == [5, 7]
    forget_met(crashed)
    assert met(crashed) == []
    note_met(crashed, 5, "again")
    move_aside(crashed, 17)
    assert met(crashed) == []

"""The store under faults: a full disk, a read-only one, a foreign lock, damage, a folder that is gone.

In each the daemon takes nothing that it could lose: what it cannot commit is not acknowledged, `halon status` says why,
and where the fault ends by itself the daemon goes on by itself.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.realparts import forbidden, need_root
from tests.support.slowdisk import slow_sync
from tests.support.storestage import goes_on, say, stage, verified, waits
from tests.support.wait import until


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A disk of a few MiB of its own."""
    need_root("a small disk is mounted")
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        forbidden(f"mounting a small disk: {made.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("killed", [False, True])
def test_a_full_disk(tmp_path, killed):
    """Nothing is acknowledged while the disk is full, not over a kill either; it goes on once there is room."""
    with small_disk(tmp_path / "disk") as disk, stage(tmp_path, state=disk / "state") as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4_096)
            except OSError:
                pass
        say(broker, *(f"full-{number}" for number in range(20)))
        waits(halon, "the disk is full")
        if killed:
            halon.kill()
        ballast.unlink()
        if killed:
            halon.start()
        goes_on(halon, target, "before", *(f"full-{number}" for number in range(20)))


def test_a_disk_that_becomes_read_only(tmp_path):
    """As a failing device does: nothing is acknowledged; it goes on once the disk can be written again."""
    with small_disk(tmp_path / "disk") as disk, stage(tmp_path, state=disk / "state") as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        halon.kill()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        say(broker, "after")
        halon.launch()
        assert halon.wait() == 1, "on a disk that cannot be written it does not start"
        assert "cannot be" in halon.tail(3)
        assert target.effects == {"before": 1}
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        halon.start()
        goes_on(halon, target, "before", "after")


def test_a_store_that_another_process_locks(tmp_path):
    """A backup tool that holds the lock too long: intake waits and goes on after."""
    with stage(tmp_path) as (halon, target, broker):
        locker = sqlite3.connect(halon.database, isolation_level=None, timeout=10)
        try:
            locker.execute("BEGIN IMMEDIATE")
            say(broker, "a", "b")
            waits(halon, "locked by another process")
            assert halon.intents() == []
            assert not target.effects
        finally:
            locker.close()
        goes_on(halon, target, "a", "b")


def test_a_store_that_is_locked_while_a_step_runs(tmp_path):
    """What a step did is written down when the lock is gone; until then it is neither forgotten nor done again."""
    with stage(tmp_path) as (halon, target, broker):
        locker = sqlite3.connect(halon.database, isolation_level=None, timeout=10, check_same_thread=False)
        try:
            target.watch = lambda moment, name: (
                moment == "applied" and bool(locker.execute("BEGIN IMMEDIATE")) and False
            )
            say(broker, "a")
            until(lambda: target.count() == 1, what="it took effect")
            until(
                lambda: "the store does not take what was done" in halon.log.read_text(), within_s=30, what="it waits"
            )
            assert halon.one("SELECT state FROM intents") == "applying"
        finally:
            locker.close()
        goes_on(halon, target, "a")
        assert target.repeats["a"] == 0


def test_a_damaged_store_is_kept_aside_and_said_loudly(tmp_path):
    """The next start begins a new one, keeps the old, and does not act on what it cannot know."""
    with stage(tmp_path) as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        assert halon.stop() == 0
        with halon.database.open("r+b") as file:
            for page in range(2, 20):
                file.seek(page * 4_096)
                file.write(os.urandom(4_096))
        damaged = halon.database.read_bytes()
        halon.start()
        [said] = [line for line in halon.lines() if line["level"] == "critical"]
        assert "damaged" in said["event"]
        assert Path(said["kept"]).read_bytes() == damaged
        say(broker, "after")
        goes_on_after = lambda: [state for _, state in halon.intents()] == ["verified"]  # noqa: E731
        until(goes_on_after, what="it works with the new store")
        assert dict(target.effects) == {"before": 1, "after": 1}


def test_a_state_folder_that_is_not_there_is_made(tmp_path):
    """With mode 0700."""
    state = tmp_path / "deep" / "state"
    with stage(tmp_path, state=state) as (halon, _, _):
        assert halon.connected()
        assert state.stat().st_mode & 0o777 == 0o700


def test_a_state_folder_that_goes_away_under_the_daemon(tmp_path):
    """SQLite would go on writing into files that nobody finds again: intake waits until the folder is back."""
    with stage(tmp_path) as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        halon.state.rename(tmp_path / "elsewhere")
        say(broker, "after")
        waits(halon, "is not there any more")
        assert target.effects == {"before": 1}
        (tmp_path / "elsewhere").rename(halon.state)
        goes_on(halon, target, "before", "after")


@pytest.mark.soak
def test_a_store_that_is_deleted_under_the_daemon(tmp_path):
    """Nothing is acknowledged into a file that is gone; a restart begins a new store and hears what was kept."""
    with stage(tmp_path) as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        shutil.rmtree(halon.state)
        say(broker, "after")
        waits(halon, "is not there any more")
        halon.restart()
        goes_on_after = lambda: [state for _, state in halon.intents()] == ["verified"]  # noqa: E731
        until(goes_on_after, what="the event that was not acknowledged came again")
        assert dict(target.effects) == {"before": 1, "after": 1}


def test_a_disk_that_takes_a_second_to_sync(tmp_path):
    """It is slow, and nothing else: the control socket answers, all is committed in its turn and contained."""
    with stage(tmp_path) as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        with slow_sync(halon.pid, seconds=1.0, log=tmp_path / "strace.log"):
            say(broker, *(f"slow-{number}" for number in range(10)))
            answered = [halon.status().live.pid for _ in range(5)]
            assert answered == [halon.pid] * 5
            until(lambda: verified(halon, 11), within_s=120, what=f"all steps are verified\n{halon.tail()}")
            assert b"DELAYED" in (tmp_path / "strace.log").read_bytes(), "the syncs were slow"
        goes_on(halon, target, "before", *(f"slow-{number}" for number in range(10)))


def test_stopping_while_the_store_is_locked(tmp_path):
    """SIGTERM ends the daemon in its time all the same; what was not committed comes again."""
    with stage(tmp_path) as (halon, target, broker):
        locker = sqlite3.connect(halon.database, isolation_level=None, timeout=10)
        try:
            locker.execute("BEGIN IMMEDIATE")
            say(broker, "a")
            waits(halon, "locked by another process")
            assert halon.stop(within_s=12) == 0
        finally:
            locker.close()
        halon.start()
        goes_on(halon, target, "a")

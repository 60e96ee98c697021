"""Faults of the store under the daemon that runs: pages that go bad, a log that goes bad, a disk turned read-only.

Nothing is acknowledged that was not committed, nothing is claimed that was not recorded, nothing is done twice, and
what happened is said: on the log, in `halon status`, in the metrics.
"""

import json
import os
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.failingdisk import failing_disk
from tests.support.servicemanager import Manager
from tests.support.slowdisk import refused_reads, refused_writes
from tests.support.storestage import goes_on, say, stage, verified, waits
from tests.support.unixhttp import BASE_URL, session_of
from tests.support.wait import until

EXIT_DAMAGED = 3
PAGE = 4_096
LOG_HEAD, FRAME_HEAD = 32, 24


def fold(halon: Daemon) -> None:
    """Fold the write-ahead log into the database from outside, as a backup tool does, so that its pages are read."""
    connection = sqlite3.connect(halon.database, timeout=10)
    try:
        until(lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0), what="folded")
    finally:
        connection.close()


def spoil(file: Path, *, first: int, size: int = PAGE, head: int = 0, skip: int = 0) -> None:
    """Overwrite every page of a file from page number `first` on (0 is the first), under whoever has it open."""
    with file.open("r+b", buffering=0) as opened:
        for at in range(head + first * (size + skip) + skip, file.stat().st_size, size + skip):
            opened.seek(at)
            opened.write(os.urandom(size))


def criticals(halon: Daemon) -> list[dict[str, str]]:
    return [line for line in halon.lines() if line["level"] == "critical"]


@pytest.mark.parametrize("where", ["pages", "header", "log"])
def test_a_store_that_is_damaged_under_the_daemon(tmp_path, where):
    """It acknowledges nothing more, says which file and what to do, and ends with a code of its own.

    The next start keeps the damaged files aside, and hears again what was not acknowledged; what was, into a log that
    had gone bad, is said to be lost.
    """
    with Manager() as manager, stage(tmp_path, environment=manager.environment) as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        match where:
            case "pages":
                fold(halon)
                spoil(halon.database, first=1)
            case "header":
                fold(halon)
                with halon.database.open("r+b", buffering=0) as file:
                    file.write(b"no database any more, whatever it was")
            case "log":
                spoil(halon.database.with_name("halon.db-wal"), first=0, head=LOG_HEAD, skip=FRAME_HEAD)
        say(broker, "after")
        assert halon.wait(within_s=20) == EXIT_DAMAGED, halon.tail()
        [said] = criticals(halon)
        assert said["file"] == str(halon.database)
        assert "damaged" in said["event"]
        assert "next start" in said["event"]
        assert "damaged" in manager.status()
        assert target.effects == {"before": 1}
        halon.start()
        kept = [line["kept"] for line in criticals(halon) if "kept" in line]
        assert kept, halon.tail()
        assert Path(kept[0] + ("-wal" if where == "log" else "")).exists()
        assert Path(kept[0]).name in halon.halon("status")
        assert f"halon_store_set_aside {len(kept)}.0" in session_of(halon.socket).get(f"{BASE_URL}/metrics").text
        say(broker, "later")
        until(
            lambda: "later" in target.effects and not halon.unsettled(),
            what=f"it works with what it has\n{halon.tail()}",
        )
        told = any("acknowledged are lost" in line["event"] for line in criticals(halon))
        assert told == (where == "log")
        # Into a log that has gone bad it may have been committed, or not: then it comes again.
        assert "after" in target.effects or told
        assert dict(target.effects) == dict.fromkeys({"before", "later"} | target.effects.keys(), 1)
        assert halon.run_command("audit", "verify").returncode == 0


def test_damage_that_the_page_cache_hides_is_said_at_the_next_start(tmp_path):
    """A log that lost its middle: SQLite would go on with what came before it and say nothing of the rest."""
    with stage(tmp_path) as (halon, target, broker):
        say(broker, "known")
        until(lambda: verified(halon, 1), what="all is well")
        fold(halon)
        for number in range(2):
            say(broker, f"lost-{number}")
            until(lambda: verified(halon, number + 2), what="all is well")  # noqa: B023  # waited for in its turn
        halon.kill()
        log = halon.database.with_name("halon.db-wal")
        with log.open("r+b") as file:
            file.seek(LOG_HEAD + FRAME_HEAD + 100)
            file.write(b"\0gone bad\0")
        damaged = log.read_bytes()
        halon.start()
        [said] = criticals(halon)
        assert "write-ahead log" in said["event"]
        assert Path(f"{said['kept']}-wal").read_bytes() == damaged
        assert Path(said["kept"]).name in halon.halon("status")
        assert verified(halon, 1), "what came before is known"
        say(broker, "after")
        until(lambda: verified(halon, 2), what="it works with what it has")
        assert dict(target.effects) == dict.fromkeys(("known", "lost-0", "lost-1", "after"), 1)
        assert halon.run_command("audit", "verify").returncode == 0


@pytest.mark.parametrize(
    ("error", "reason", "what_to_do"),
    [("EROFS", "is read-only", "mount -o remount,rw"), ("EIO", "the device reports an error", "dmesg")],
)
def test_a_disk_that_takes_no_writes_for_a_while(tmp_path, error, reason, what_to_do):
    """Read-only, or failing: intake waits and says so, to the service manager too.

    A step under way is neither claimed nor repeated, and all goes on once the disk takes writes again.
    """
    with Manager() as manager, stage(tmp_path, environment=manager.environment) as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        files = [halon.database.with_name(f"halon.db{suffix}") for suffix in ("", "-wal", ".lock")]
        held = refused_writes(halon.pid, error=error, files=files, log=tmp_path / "strace.log")
        turned = threading.Event()

        def turn(moment: str, name: str) -> None:
            if (moment, name) == ("applied", "during"):
                held.__enter__()
                turned.set()

        target.watch = turn
        say(broker, "during")
        try:
            assert turned.wait(20), "it took effect"
            say(broker, "after")
            waits(halon, reason)
            assert what_to_do in halon.status().live.commit_failing
            until(
                lambda: "nothing is acknowledged" in manager.status() and reason in manager.status(), what="it is told"
            )
            assert target.effects == {"before": 1, "during": 1}
            assert sorted(state for _, state in halon.intents()) == ["applying", "verified"]
        finally:
            held.__exit__(None, None, None)
        goes_on(halon, target, "before", "during", "after")
        assert target.repeats["during"] == 0
        until(lambda: manager.status().startswith("1 rules"), what="all is well again")


def test_a_page_that_cannot_be_read_for_a_moment(tmp_path):
    """SQLite takes a block that can't be read for damage: the daemon ends, and goes on with a store that is sound."""
    with stage(tmp_path) as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        with refused_reads(halon.pid, error="EIO", files=[halon.database], log=tmp_path / "strace.log"):
            fold(halon)
            say(broker, "after")
            assert halon.wait(within_s=20) == EXIT_DAMAGED, halon.tail()
        assert target.effects == {"before": 1}
        halon.start()
        goes_on(halon, target, "before", "after")
        assert ["is sound now" in line["event"] for line in criticals(halon)] == [False, True]
        assert "kept aside" not in halon.halon("status")


def test_a_file_system_that_the_kernel_makes_read_only(tmp_path):
    """As ext4 does after a bad block: intake waits until it is repaired, over the stop that this takes."""
    with failing_disk(tmp_path / "disk") as disk, stage(tmp_path, state=disk.path / "state") as (halon, target, broker):
        say(broker, "before")
        until(lambda: verified(halon, 1), what="all is well")
        busy = subprocess.run(
            ["mount", "-o", "remount,ro", str(disk.path)], capture_output=True, text=True, check=False
        )
        assert "busy" in busy.stderr, "nobody makes it read-only by hand while the store is open"
        disk.fail()
        say(broker, "after")
        waits(halon, "read-only")
        assert target.effects == {"before": 1}
        assert halon.stop() == 0
        disk.repair()
        halon.start()
        goes_on(halon, target, "before", "after")
        assert criticals(halon) == []


def test_a_daemon_that_is_killed_often_is_not_said_to_be_damaged(tmp_path):
    """What a crash leaves of the log is no damage."""
    with stage(tmp_path) as (halon, target, broker):
        for number in range(3):
            say(broker, *(f"run-{number}-{each}" for each in range(10)))
            until(lambda: target.count() > 10 * number, what="it is under way")  # noqa: B023
            halon.restart()
        goes_on(halon, target, *(f"run-{number}-{each}" for number in range(3) for each in range(10)))
        assert criticals(halon) == []
        assert json.loads(halon.halon("status", "--json"))["stored"]["set_aside"] == []

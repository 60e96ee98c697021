"""engine.readiness: what a real socket of the service manager's kind hears."""

import asyncio
import contextlib
import socket

from engine.clock import VirtualClock
from engine.intake.contract import Doors, Inbox, IntakeStatus
from engine.operate.sdnotify import SdNotify
from engine.readiness import BEAT_S, SILENT_S_MAX, Readiness, beat_every_s


class Door:
    """A door that is as open as the test says."""

    def __init__(self, name, *, connected):
        self.name = name
        self.connected = connected

    def status(self):
        return IntakeStatus(name=self.name, connected=self.connected, problem="" if self.connected else "refused")


def test_ready_is_said_once_and_only_when_a_door_is_open(tmp_path):
    """While all doors are shut the status says which and why; the first beat with one open says READY, once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        def heard():
            found = []
            while True:
                try:
                    found.append(manager.recv(4096).decode())
                except BlockingIOError:
                    return found

        one, two = Door("one", connected=False), Door("two", connected=False)
        readiness = Readiness(SdNotify(str(tmp_path / "notify"), VirtualClock()), "2 rules", VirtualClock())
        readiness.doors = Doors([one, two, Door("halon", connected=True)], Inbox())
        readiness.beat()
        told = "\n".join(heard())
        assert "READY=1" not in told
        assert "one: refused; two: refused" in told
        assert "WATCHDOG=1" in told
        one.connected = True
        readiness.beat()
        assert sum("READY=1" in each for each in heard()) == 1
        readiness.beat()
        assert [each.strip() for each in heard()] == ["WATCHDOG=1"]


def test_beats_come_at_least_three_times_within_what_the_watchdog_allows():
    """Without a watchdog once a second; with one, three times in its time, so that one late beat is no restart."""
    clock = VirtualClock()
    assert beat_every_s(SdNotify(None, clock)) == BEAT_S
    assert beat_every_s(SdNotify(None, clock, watchdog_us=1_500_000)) == 0.5
    assert beat_every_s(SdNotify(None, clock, watchdog_us=60_000_000)) == BEAT_S


def test_an_http_door_alone_makes_nobody_ready_where_there_are_brokers(tmp_path):
    """READY means that events are taken from a broker, where one is configured."""
    clock = VirtualClock()
    far, http = Door("far", connected=False), Door("http", connected=True)
    readiness = Readiness(SdNotify(None, clock), "2 rules", clock)
    readiness.doors = Doors([far, http], Inbox())
    readiness.beat()
    assert readiness.unready() == "far: refused"
    far.connected = True
    readiness.beat()
    assert readiness.unready() == ""
    readiness.doors = Doors([http], Inbox())
    readiness.beat()
    assert readiness.unready() == ""


def test_health_ends_where_beats_do():
    """Alive from the first beat until none has come for half a minute, whatever the doors do."""
    clock = VirtualClock()
    readiness = Readiness(SdNotify(None, clock), "2 rules", clock)
    readiness.doors = Doors([Door("far", connected=False)], Inbox())
    assert "nothing has become durable yet" in readiness.health()
    readiness.beat()
    assert readiness.health() == ""
    asyncio.run(clock.advance_s(SILENT_S_MAX))
    assert readiness.health() == ""
    asyncio.run(clock.advance_s(1))
    assert readiness.health() == "nothing has become durable for 31 s"


def test_the_status_line_follows_doors_reloads_and_the_store(tmp_path):
    """What changes is told once: a door that shuts, rules that were refused, a store that takes nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        clock = VirtualClock()
        one, two = Door("one", connected=True), Door("two", connected=True)
        readiness = Readiness(SdNotify(str(tmp_path / "notify"), clock), "2 rules", clock)
        readiness.doors = Doors([one, two], Inbox())
        readiness.beat()
        two.connected = False
        readiness.beat()
        readiness.beat()
        readiness.reloading()
        readiness.reloaded("2 rules; a reload was refused")
        readiness.commit_failed("disk full")
        told = []
        with contextlib.suppress(BlockingIOError):
            while True:
                told.append(manager.recv(4096).decode())
    lines = [line for each in told for line in each.splitlines() if line.startswith(("STATUS", "RELOADING", "READY"))]
    assert lines == [
        "READY=1",
        "STATUS=2 rules",
        "STATUS=2 rules; shut: two: refused",
        "RELOADING=1",
        "STATUS=reading the rules again",
        "READY=1",
        "STATUS=2 rules; a reload was refused; shut: two: refused",
        "STATUS=nothing is acknowledged, the store takes nothing: disk full",
    ]
    assert sum("WATCHDOG=1" in each for each in told) == 4

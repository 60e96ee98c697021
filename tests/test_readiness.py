"""engine.readiness: what a real socket of the service manager's kind hears."""

import socket

from engine.clock import VirtualClock
from engine.intake.contract import Doors, Inbox, IntakeStatus
from engine.operate.sdnotify import SdNotify
from engine.readiness import BEAT_S, Readiness, beat_every_s


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
        readiness = Readiness(SdNotify(str(tmp_path / "notify"), VirtualClock()), "2 rules")
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

"""Beats of the pipeline to what the service manager is told: ready, waiting for a door, alive. `engine.app` has it."""

from engine.intake.contract import Doors
from engine.intake.heartbeat import DOOR as HEARTBEAT
from engine.operate.sdnotify import SdNotify

BEAT_S = 1.0
"""How often the pipeline is shown to be alive."""


class Readiness:
    """Tells the service manager when the daemon is ready, and at each beat that it is alive.

    Ready is when a beat came back durable and a door to the outside is open: rules are loaded and state is restored by
    then. A broker that comes later than the others keeps nobody waiting.
    """

    def __init__(self, notify: SdNotify, status: str) -> None:
        self._notify = notify
        self._status = status
        self._ready = False
        self.doors: Doors | None = None

    def beat(self) -> None:
        """A heartbeat is durable."""
        assert self.doors is not None, "set before anything runs"
        outside = [door for door in self.doors.status() if door.name != HEARTBEAT]
        shut = [f"{door.name}: {door.problem}" for door in outside if not door.connected]
        if not self._ready and len(shut) == len(outside) and outside:
            self._notify.status(f"waiting for a door to open; {'; '.join(shut)}")
        elif not self._ready:
            self._ready = True
            self._notify.ready(self._status)
        self._notify.watchdog()


def beat_every_s(notify: SdNotify) -> float:
    """A third of what the service manager allows, so that one late beat is no restart."""
    return BEAT_S if notify.watchdog_s is None else min(BEAT_S, notify.watchdog_s / 3)

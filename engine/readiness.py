"""Beats of the pipeline to what the service manager is told: ready, waiting for a door, alive. `engine.app` has it.

The HTTP port asks it for `/readyz` and `/healthz`.
"""

from engine.clock import Clock
from engine.intake.contract import OWN_DOORS, Doors, IntakeStatus
from engine.intake.http import DOOR as HTTP
from engine.operate.sdnotify import SdNotify

BEAT_S = 1.0
"""How often the pipeline is shown to be alive."""
SILENT_S_MAX = 30.0
"""Without a beat for so long it is not: as long as the watchdog of the shipped unit waits."""


class Readiness:
    """Tells the service manager when the daemon is ready, and at each beat that it is alive.

    Ready is when a beat came back durable and a door to the outside is open: rules are loaded and state is restored by
    then. Where there are brokers it has to be the session of one of them; a broker that comes later than the others
    keeps nobody waiting. Later the status line says which doors are shut.
    """

    def __init__(self, notify: SdNotify, status: str, clock: Clock) -> None:
        self._notify = notify
        self._clock = clock
        self._told = ""
        self._ready = False
        self._beat_s: float | None = None
        self.summary = status
        """What the status line says while all is well."""
        self.doors: Doors | None = None

    def beat(self) -> None:
        """A heartbeat is durable."""
        self._beat_s = self._clock.monotonic_s()
        shut, closed = self._shut()
        if not self._ready and closed:
            self._tell(f"waiting for a door to open; {shut}")
        elif not self._ready:
            self._ready = True
            self._told = self._text(shut)
            self._notify.ready(self._told)
        else:
            self._tell(self._text(shut))
        self._notify.watchdog()

    def commit_failed(self, reason: str) -> None:
        """The store refused a batch, which is tried again: nothing is stuck, and a restart would not make room."""
        self._tell(f"nothing is acknowledged, the store takes nothing: {reason}")
        self._notify.watchdog()

    def reloading(self) -> None:
        """New rules are being read."""
        self._notify.reloading("reading the rules again")

    def reloaded(self, summary: str) -> None:
        """They took over, or were refused; `summary` is what the status line says from now on."""
        self.summary = summary
        self._told = self._text(self._shut()[0])
        self._notify.ready(self._told)

    def health(self) -> str:
        """Why the pipeline is not alive; empty while it is."""
        if self._beat_s is None:
            return "nothing has become durable yet"
        silent_s = self._clock.monotonic_s() - self._beat_s
        return f"nothing has become durable for {silent_s:.0f} s" if silent_s > SILENT_S_MAX else ""

    def unready(self) -> str:
        """Why events are not taken in now; empty while they are."""
        shut, closed = self._shut()
        if closed:
            return shut
        return self.health() or ("" if self._ready else "starting")

    def _shut(self) -> tuple[str, bool]:
        """Which doors are shut and why, and whether none is open by which events are meant to come."""
        assert self.doors is not None, "set before anything runs"
        outside = [door for door in self.doors.status() if door.name not in OWN_DOORS]
        wanted = [door for door in outside if door.name != HTTP] or outside
        text = "; ".join(_problem(door) for door in outside if not door.connected)
        return text, bool(wanted) and not any(door.connected for door in wanted)

    def _text(self, shut: str) -> str:
        return f"{self.summary}; shut: {shut}" if shut else self.summary

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._notify.status(text)


def _problem(door: IntakeStatus) -> str:
    return f"{door.name}: {door.problem}"


def beat_every_s(notify: SdNotify) -> float:
    """A third of what the service manager allows, so that one late beat is no restart."""
    return BEAT_S if notify.watchdog_s is None else min(BEAT_S, notify.watchdog_s / 3)

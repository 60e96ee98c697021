"""Turns the daemon's state into messages to systemd (sd_notify(3)); does nothing outside a unit that asks for them.

`app` calls it. A message that can't be sent is no reason to stop: each method says whether it was.
"""

import os
import socket
from collections.abc import Mapping

from engine.clock import Clock

STATUS_CHARS_MAX = 200


class SdNotify:
    """Speaks to the socket that systemd named in `NOTIFY_SOCKET`."""

    def __init__(self, address: str | None, clock: Clock, *, watchdog_us: int | None = None) -> None:
        # systemd writes `@` for the zero byte of an abstract address.
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._clock = clock
        self.watchdog_s = watchdog_us / 1_000_000 if watchdog_us else None
        """Within how many seconds systemd wants the next `watchdog`; None where it does not watch."""

    @classmethod
    def from_environment(cls, clock: Clock, environ: Mapping[str, str] = os.environ) -> "SdNotify":
        """By `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`."""
        watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        text = environ.get("WATCHDOG_USEC", "")
        return cls(
            environ.get("NOTIFY_SOCKET") or None,
            clock,
            watchdog_us=int(text) if watched and text.isascii() and text.isdigit() else None,
        )

    def ready(self, status: str = "") -> bool:
        """Rules are loaded, state is restored, the broker session is up; also ends a reload."""
        return self._send("READY=1", *_status(status))

    def status(self, status: str) -> bool:
        """A line for `systemctl status`."""
        return self._send(*_status(status))

    def watchdog(self) -> bool:
        """The pipeline made progress."""
        return self._send("WATCHDOG=1")

    def reloading(self, status: str = "") -> bool:
        """A reload began; `ready` ends it."""
        monotonic_us = round(self._clock.monotonic_s() * 1_000_000)
        return self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_us}", *_status(status))

    def stopping(self, status: str = "") -> bool:
        """The daemon is going down."""
        return self._send("STOPPING=1", *_status(status))

    def _send(self, *lines: str) -> bool:
        if not self._address or not lines:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # A full queue at systemd's end must not hold up the event loop.
                sender.settimeout(0)
                sender.connect(self._address)
                sender.send("\n".join(lines).encode("utf-8", "replace"))
        except OSError:
            return False
        return True


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())[:STATUS_CHARS_MAX]}",) if text else ()

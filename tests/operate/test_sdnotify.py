"""Messages to systemd, read from a real datagram socket in its place."""

import os
import socket

import pytest

from engine.clock import VirtualClock
from engine.operate.sdnotify import SdNotify


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    """(address as systemd writes it, the receiving socket)."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = str(tmp_path / "notify") if request.param == "path" else f"@halon-test-{os.getpid()}"
    receiver.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
    receiver.settimeout(5)
    yield address, receiver
    receiver.close()


def test_each_state_is_told_in_systemds_words(systemd):
    """READY, STATUS, WATCHDOG, RELOADING with the monotonic time, STOPPING; a status is one line."""
    address, receiver = systemd
    clock = VirtualClock()
    notify = SdNotify.from_environment(clock, {"NOTIFY_SOCKET": address})
    for send, expected in (
        (lambda: notify.ready("12 rules\nloaded"), "READY=1\nSTATUS=12 rules loaded"),
        (lambda: notify.status("x" * 500), "STATUS=" + "x" * 200),
        (notify.watchdog, "WATCHDOG=1"),
        (notify.reloading, f"RELOADING=1\nMONOTONIC_USEC={round(clock.monotonic_s() * 1_000_000)}"),
        (lambda: notify.stopping("bye"), "STOPPING=1\nSTATUS=bye"),
    ):
        assert send() is True
        assert receiver.recv(4_096).decode() == expected


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_ours_only_if_systemd_means_us(environ, watchdog_s):
    """The interval counts for the process that systemd named, and for no child of it."""
    assert SdNotify.from_environment(VirtualClock(), environ).watchdog_s == watchdog_s


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify"])
def test_without_systemd_nothing_happens(address):
    """Outside a unit, or when systemd is gone, messages are not sent and nothing breaks."""
    assert SdNotify(address, VirtualClock()).ready("up") is False

"""What a service manager hears from the daemon: a datagram socket that keeps the last status line."""

import shutil
import socket
import tempfile
from pathlib import Path


class Manager:
    """`with Manager() as manager:` listens at the socket that `manager.environment` names."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="notify-"))  # pytest's own is too long for a Unix socket
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._status = ""
        self.environment = {"NOTIFY_SOCKET": str(self._folder / "notify")}

    def __enter__(self) -> "Manager":
        self._socket.bind(self.environment["NOTIFY_SOCKET"])
        self._socket.setblocking(False)
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()
        shutil.rmtree(self._folder)

    def status(self) -> str:
        """The last status line that came, as `systemctl status` would show it."""
        while True:
            try:
                said = self._socket.recv(4_096).decode()
            except BlockingIOError:
                return self._status
            for line in said.splitlines():
                self._status = line.removeprefix("STATUS=") if line.startswith("STATUS=") else self._status

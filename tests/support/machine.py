"""A real systemd in a container over an overlay of this host's own root: `with Machine() as machine:`.

What the machine writes goes to a tmpfs and is gone at the end, whatever happened in between. It shares the host's
network, so that a broker of the test is at 127.0.0.1 for it too, and has processes and mounts of its own.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.realparts import missing, need, need_root
from tests.support.wait import until

BOOT_S = 60.0
_POWER_OFF = signal.SIGRTMIN + 4


class Machine:
    """`root` is its file system as the host sees it; `boot` starts it, `run` runs a command inside."""

    def __init__(self) -> None:
        need_root("a container needs root")
        self._nspawn = need("systemd-nspawn")
        self._folder = Path(tempfile.mkdtemp(prefix="halon-machine-"))
        self._console = self._folder / "console.log"
        self.root = self._folder / "root"
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._mounted: list[Path] = []

    def __enter__(self) -> "Machine":
        try:
            self._mount()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _mount(self) -> None:
        layers = self._folder / "layers"
        for each in (layers, self.root):
            each.mkdir()
        # An overlay can't be the upper layer of another, which is what a container's own root is
        self._try_mount(layers, ["-t", "tmpfs", "-o", "size=2g,mode=755", "halon-machine", str(layers)])
        for each in ("upper", "work"):
            (layers / each).mkdir()
        options = f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work"
        self._try_mount(self.root, ["-t", "overlay", "-o", options, "halon-machine", str(self.root)])

    def _try_mount(self, place: Path, arguments: Sequence[str]) -> None:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"an overlay of the root for a container: {done.stderr.strip()}")
        self._mounted.append(place)

    def boot(self) -> None:
        """Start systemd as far as basic.target."""
        with self._console.open("ab") as console:
            self._process = process = subprocess.Popen(
                [
                    self._nspawn,
                    "--quiet",
                    f"--directory={self.root}",
                    f"--machine=halon-{os.getpid()}",
                    "--register=no",
                    "--keep-unit",
                    "--console=pipe",
                    "--boot",
                    "systemd.unit=basic.target",
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

        def up() -> bool:
            if process.poll() is not None:
                return True
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            self._init = int(children[0]) if children else 0
            if not self._init:
                return False
            return self.run("systemctl", "is-system-running", check=False).stdout.strip() in {"running", "degraded"}

        try:
            until(up, within_s=BOOT_S, what="systemd is up in the container")
        except AssertionError as error:
            self._not_booted(str(error))
        if process.poll() is not None:
            self._not_booted("systemd-nspawn ended")

    def _not_booted(self, why: str) -> None:
        """A failure; where this host is itself a container or a chroot, which may forbid it, a missing part."""
        inside = (
            subprocess.run(["systemd-detect-virt", "--container"], capture_output=True, check=False).returncode == 0
        )
        chroot = subprocess.run(["systemd-detect-virt", "--chroot"], capture_output=True, check=False).returncode == 0
        message = f"systemd did not boot in a container: {why}\n{self.console()}"
        if inside or chroot:
            missing(message)
        raise AssertionError(message)

    def run(self, *command: str, check: bool = True, within_s: float = 90.0) -> "subprocess.CompletedProcess[str]":
        """Run a command inside; it must succeed unless `check` is off."""
        done = subprocess.run(
            ["nsenter", "--target", str(self._init), "-m", "-p", "-u", "-i", "-n", "-C", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
            cwd="/",
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit."""
        wanted = [f"--property={','.join(properties)}"]
        lines = self.run("systemctl", "show", unit, *wanted).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file of the machine. Files that it has open are to be changed by `run` only."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def journal(self, unit: str, lines: int = 40) -> str:
        """The end of a unit's journal."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-n", str(lines), "-u", unit, check=False).stdout

    def console(self) -> str:
        """What the machine wrote to its console."""
        return self._console.read_text(errors="replace")[-4_000:] if self._console.exists() else ""

    def power_off(self) -> None:
        """End the machine in order; what does not end is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, _POWER_OFF)
        try:
            process.wait(30 if self._init else 0.1)
        except subprocess.TimeoutExpired:
            # Its init dies with the processes of its name space
            for pid in filter(None, (self._init, process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(30)
        self._init = 0

    def close(self) -> None:
        """Power it off, unmount, remove: in this order, each whatever became of the one before."""
        try:
            self.power_off()
        finally:
            for place in reversed(self._mounted):
                if subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode:
                    subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)
            self._mounted.clear()
            shutil.rmtree(self._folder, ignore_errors=True)

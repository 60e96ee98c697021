"""A real ext4 of a few MiB that the kernel makes read-only under the files that are open on it, as after a bad block.

`mount -o remount,ro` cannot show this: the kernel refuses it while a file is open for writing, and a store always is.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.realparts import forbidden, need, need_root

SIZE_BYTES = 24 * 1_048_576


class FailingDisk:
    """Mounted at `path` from the image file beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._image = path.with_name(f"{path.name}.img")
        self._lever: Path | None = None

    def make(self) -> None:
        """Make the file system, and mount it so that an error makes it read-only."""
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        self._run(need("mkfs.ext4"), "-q", "-F", str(self._image))
        self.mount()

    def mount(self) -> None:
        """Mount it."""
        self._run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.path))
        device = self._run("findmnt", "-n", "-o", "SOURCE", "--mountpoint", str(self.path)).strip()
        loop = device if device.startswith("/dev/loop") else self._run("losetup", "-n", "-O", "NAME", "-j", device)
        self._lever = Path("/sys/fs/ext4", Path(loop.strip()).name, "trigger_fs_error")
        if not self._lever.exists():
            forbidden(f"{self._lever} is not there: no error of the file system can be made")

    def fail(self) -> None:
        """Let the kernel find an error in it: it is read-only from here on."""
        assert self._lever is not None, "mounted first"
        with suppress(OSError):  # the kernel does it, and answers the write with its own EROFS
            self._lever.write_text("a test")

    def repair(self) -> None:
        """What an operator does: unmount, fsck, mount."""
        self._run("umount", str(self.path))
        found = subprocess.run(["fsck.ext4", "-f", "-y", str(self._image)], capture_output=True, text=True, check=False)
        assert found.returncode <= 1, found.stdout + found.stderr
        self.mount()

    def _run(self, *argv: str) -> str:
        made = subprocess.run(argv, capture_output=True, text=True, check=False)
        if made.returncode:
            forbidden(f"{' '.join(argv)}: {made.stderr.strip()}")
        return made.stdout


@contextmanager
def failing_disk(path: Path) -> Iterator[FailingDisk]:
    """One at `path` until the block ends; a loud skip where the machine has no loop devices."""
    need_root("a disk is mounted")
    disk = FailingDisk(path)
    try:
        disk.make()
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)

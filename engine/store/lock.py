"""A database's path to the lock beside it, which the daemon holds while it runs; `halon state import` takes it too."""

import errno
import fcntl
import os
from pathlib import Path

from engine.store.errors import StoreBusyOrFull, StoreLocked


def take_lock(path: Path) -> int:
    """Take the lock file beside the database; the returned descriptor holds it until closed or the process ends.

    Raises StoreLocked where another process holds it, StoreBusyOrFull where it can't be made.
    """
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreBusyOrFull(f"{path} cannot be opened: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise StoreLocked(f"another daemon (process {holder}) runs on {path}; stop it first") from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def is_read_only(lock: int) -> bool:
    """Whether the file system of a lock has become read-only since it was taken: a write to the lock itself tells.

    `statvfs` does not say so where the kernel did it because of an error.
    """
    try:
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def hand_over(path: Path) -> None:
    """Give a file to whom its folder belongs: what root puts there must be the daemon's own. Only root can."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)

"""What several actions share: files replaced whole, hashes, and operating errors put into words.

Used by the files of `actions/` only. Nothing here raises anything but OSError for what the system does.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from engine.model import Json

T = TypeVar("T")


def sha256(data: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def text_of(receipt: Mapping[str, Json], name: str) -> str:
    """A string field of a receipt; empty where it is missing or something else."""
    value = receipt.get(name)
    return value if isinstance(value, str) else ""


def describe(error: OSError) -> str:
    """An operating error for people: `Permission denied: /etc/token`."""
    text = error.strerror or os.strerror(error.errno or errno.EIO)
    return f"{text}: {error.filename}" if error.filename else text


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the advisory lock of a folder, so that two runs of one action on it, even of two processes, take turns."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_new(path: Path, data: bytes, *, mode: int, like: os.stat_result | None = None) -> None:
    """Writes a file that did not exist, flushed to the disk; `like` gives its owner. Raises FileExistsError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(data)
        if like is not None and (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(handle, like.st_uid, like.st_gid)
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, data: bytes, *, mode: int, like: os.stat_result | None, staged: Path) -> None:
    """Puts new content at `path` in one atomic step by way of `staged` in the same folder; readers see old or new."""
    staged.unlink(missing_ok=True)
    write_new(staged, data, mode=mode, like=like)
    move(staged, path)


def move(source: Path, target: Path) -> None:
    """Renames within one file system, and makes the rename survive a power cut."""
    source.rename(target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


def sync_folder(folder: Path) -> None:
    """Flushes the entries of a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

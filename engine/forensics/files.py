"""Opens evidence on disk without trusting it: plain files only, bounded, and never through a link out of a folder.

Everything of this package that reads a file does so by way of `open_evidence`; `walk` lists a folder.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from engine.forensics.report import EvidenceError
from engine.model import Struct

CHUNK_BYTES = 1 << 20


class Limits(Struct, frozen=True):
    """What an examination takes on. Whatever exceeds a limit is an `EvidenceError` that names it, never a wait."""

    file_bytes_max: int = 2 << 40
    hole_bytes_max: int = 1 << 30
    """Bytes of a sparse file that are no data on disk; reading them costs time and tells nothing."""
    header_bytes_max: int = 100_000_000
    """Of a safetensors file; what its own library takes."""
    tensor_bytes_max: int = 4 << 30
    """One tensor in memory."""
    inflated_bytes_max: int = 1 << 30
    """One compressed member in memory."""
    members_max: int = 100_000
    """Tensors of a file, members of an archive, files of a folder."""
    opcodes_max: int = 5_000_000
    """Opcodes of a pickle file."""


LIMITS = Limits()


def never() -> bool:
    """The default of `stopped`: nobody wants it to end early."""
    return False


@contextmanager
def open_evidence(path: Path, limits: Limits = LIMITS) -> Iterator[tuple[BinaryIO, int]]:
    """A plain file for reading and its size in bytes.

    The last part of the path may not be a symbolic link, and a pipe or device is refused without waiting for it. Raises
    EvidenceError, from the operating system's errors too.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            raise EvidenceError(f"{path} is a symbolic link; name the file itself") from error
        raise EvidenceError(f"{path}: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise EvidenceError(f"{path} is not a plain file")
        if info.st_size > limits.file_bytes_max:
            raise EvidenceError(f"{path} has {info.st_size:,} bytes, more than {limits.file_bytes_max:,}")
        try:
            yield file, info.st_size
        except OSError as error:
            raise EvidenceError(f"{path}: {error.strerror or error}") from error


def sha256_file(path: Path, limits: Limits = LIMITS, stopped: Callable[[], bool] = never) -> tuple[str, int]:
    """Hex SHA-256 of a plain file and its size in bytes, in one megabyte of memory. Raises EvidenceError."""
    digest, count = hashlib.sha256(), 0
    with open_evidence(path, limits) as (file, size):
        hole = size - os.fstat(file.fileno()).st_blocks * 512
        if hole > limits.hole_bytes_max:
            raise EvidenceError(
                f"{path} is sparse: {hole:,} of its {size:,} bytes are holes, more than {limits.hole_bytes_max:,}"
            )
        while chunk := file.read(CHUNK_BYTES):
            if stopped():
                raise EvidenceError(f"{path}: stopped before its end")
            digest.update(chunk)
            count += len(chunk)
            if count > limits.file_bytes_max:
                raise EvidenceError(f"{path} grew beyond {limits.file_bytes_max:,} bytes while it was read")
    return digest.hexdigest(), count


def read_small(path: Path, bytes_max: int) -> bytes:
    """A whole file that is known to be small. Raises EvidenceError."""
    with open_evidence(path) as (file, size):
        if size > bytes_max:
            raise EvidenceError(f"{path} has {size:,} bytes, more than {bytes_max:,}")
        return file.read(bytes_max)


def walk(folder: Path, limits: Limits = LIMITS) -> list[str]:
    """The names of everything below a folder that is no folder, relative to it with `/`, sorted by their bytes.

    Links are listed, never followed. Raises EvidenceError.
    """
    found: list[str] = []
    if folder.is_symlink() or not folder.is_dir():
        raise EvidenceError(f"{folder} is not a folder")

    def refuse(error: OSError) -> None:
        raise EvidenceError(f"{error.filename}: {error.strerror}") from error

    for base, folders, files in os.walk(folder, onerror=refuse):
        linked = [name for name in folders if (Path(base) / name).is_symlink()]
        found += [str((Path(base) / name).relative_to(folder)) for name in [*files, *linked]]
        if len(found) > limits.members_max:
            raise EvidenceError(f"{folder} holds more than {limits.members_max:,} files")
    return sorted(found, key=os.fsencode)

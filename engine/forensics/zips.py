"""Opens zip archives of strangers: a bounded directory, plain members only. For `tensors` and `pickles`."""

import zipfile
from pathlib import Path
from typing import BinaryIO

from engine.forensics.files import Limits
from engine.forensics.report import EvidenceError

_DIRECTORY_BYTES_MAX = 64 << 20
_TAIL_BYTES = 22 + (1 << 16)  # the end record with the longest comment


def open_zip(file: BinaryIO, path: Path, limits: Limits) -> zipfile.ZipFile:
    """A zip archive with a bounded directory. Raises EvidenceError."""
    claimed = _directory_bytes(file)
    if claimed > _DIRECTORY_BYTES_MAX:
        raise EvidenceError(f"{path}: a zip directory of {claimed:,} bytes is more than {_DIRECTORY_BYTES_MAX:,}")
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
        raise EvidenceError(f"{path} is a damaged zip archive: {error}") from error
    if len(archive.infolist()) > limits.members_max:
        raise EvidenceError(f"{path} holds more than {limits.members_max:,} members")
    return archive


def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> BinaryIO:
    """A member that is neither encrypted nor of an odd compression. Raises EvidenceError."""
    if member.flag_bits & 0x1 or member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise EvidenceError(f"{path}: `{member.filename[:80]}` is encrypted or packed in an unusual way")
    try:
        return archive.open(member)  # type: ignore[return-value]  # an IO[bytes]
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise EvidenceError(f"{path}: `{member.filename[:80]}` is damaged: {error}") from error


def _directory_bytes(file: BinaryIO) -> int:
    """How large the archive says its directory is; `zipfile` would read so much at once."""
    size = file.seek(0, 2)
    start = max(0, size - _TAIL_BYTES - 76)
    file.seek(start)
    tail = file.read(size - start)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        return 0
    claimed = int.from_bytes(tail[end + 12 : end + 16], "little")
    if end >= 20 and tail[end - 20 : end - 16] == b"PK\x06\x07":
        # A zip64 record counts wherever a reader may look for it: where the locator points, and right before it.
        for at in (int.from_bytes(tail[end - 12 : end - 4], "little"), start + end - 76):
            if 0 <= at < size:
                file.seek(at)
                record = file.read(56)
                if record.startswith(b"PK\x06\x06"):
                    claimed = max(claimed if claimed != 0xFFFFFFFF else 0, int.from_bytes(record[40:48], "little"))
    return claimed

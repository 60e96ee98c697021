"""Damage to the files of the store: what is kept of it and how often it came; whether the write-ahead log lost commits.

`engine.store.database` asks at opening, `engine.opening` says it. Reads files, and renames or copies them; SQLite's own
verdict is in `engine.store.connection` and `soundness`.
"""

import contextlib
import os
import shutil
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from engine.model import Struct
from engine.store.connection import open_readonly

_SUFFIXES = ("", "-wal", "-shm")
_KEPT = ".corrupt-"
_MET = ".damaged"
_HEAD_BYTES, _FRAME_HEAD_BYTES = 32, 24
_PAGE_BYTES = 4_096
"""SQLite's default, which Halon leaves as it is: for a log whose head can't be read."""


# --- What is kept --------------------------------------------------------------------------------------------------


def move_aside(path: Path, now_us: int) -> Path:
    """Rename a damaged database and its log files out of the way, keeping them; returns the new path.

    Where `copy_aside` has kept them at that very time, its copy is the better one, and these go.
    """
    aside = _aside(path, now_us)
    copied = aside.exists()
    for source, kept in _pairs(path, aside):
        if copied:
            source.unlink()
        else:
            source.rename(kept)
    _met(path).unlink(missing_ok=True)
    return aside


def copy_aside(path: Path, now_us: int) -> Path:
    """Copy a database and its log files as they are now, on the disk when this returns. Raises OSError."""
    aside = _aside(path, now_us)
    for source, kept in _pairs(path, aside):
        with source.open("rb") as read, os.fdopen(_private(kept, os.O_WRONLY | os.O_EXCL), "wb") as written:
            shutil.copyfileobj(read, written)
            written.flush()
            os.fsync(written.fileno())
    return aside


def kept_aside(path: Path) -> dict[str, int]:
    """Names of the damaged stores kept beside this one, oldest first, with the time (us) each was set aside."""
    before = f"{path.name}{_KEPT}"
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for name in (each.name for each in path.parent.iterdir()):
            at = name.removeprefix(before).removesuffix("-wal").removesuffix("-shm")
            if name.startswith(before) and at.isascii() and at.isdigit():
                found[before + at] = int(at)
    return dict(sorted(found.items(), key=lambda each: each[1]))


def note_met(path: Path, now_us: int, reason: str) -> None:
    """Note beside the store that it was found damaged while the daemon ran: the next start looks at all of it."""
    with contextlib.suppress(OSError), os.fdopen(_private(_met(path), os.O_WRONLY | os.O_APPEND), "a") as notes:
        notes.write(f"{now_us} {' '.join(reason.split())}\n")


def met(path: Path) -> list[int]:
    """When (us) that was noted, since a store was last set aside."""
    try:
        lines = _met(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [int(at) for at in (line.split(" ", 1)[0] for line in lines) if at.isascii() and at.isdigit()]


def forget_met(path: Path) -> None:
    """It is sound, and was not met again for long enough."""
    _met(path).unlink(missing_ok=True)


def _met(path: Path) -> Path:
    return path.with_name(path.name + _MET)


def _aside(path: Path, now_us: int) -> Path:
    return path.with_name(f"{path.name}{_KEPT}{now_us}")


def _pairs(path: Path, aside: Path) -> Iterator[tuple[Path, Path]]:
    for suffix in _SUFFIXES:
        source = path.with_name(path.name + suffix)
        if source.exists():
            yield source, aside.with_name(aside.name + suffix)


def _private(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)


# --- The write-ahead log -------------------------------------------------------------------------------------------


class LostLog(Struct, frozen=True):
    """Durable commits that SQLite leaves out of a damaged log: how many pages of them, and where the files are kept."""

    pages: int
    kept: Path


def find_lost(path: Path, now_us: int) -> LostLog | None:
    """Let SQLite recover the log, and see whether it leaves out what was durable; copies the files first then.

    It reads up to the first page whose checksum does not hold, and takes the rest for what a crash tore. What was
    durable all the same shows in two ways: the index beside the log, which outlives a killed process, counts further;
    or two commits follow that belong together, of which the first was synced before the second began.
    """
    before = _read_log(path)
    if before is None:
        return None
    open_readonly(path).close()
    recovered = _index(path, None)[0]
    pages = 0
    if recovered < before.indexed and not (recovered == 0 and before.folded >= before.indexed):
        pages = before.indexed - recovered
    elif (durable := _durable_after(path, before, recovered)) is not None:
        pages = durable - recovered
    return LostLog(pages, copy_aside(path, now_us)) if pages else None


class _Log(Struct, frozen=True):
    """What the files say before SQLite recovers the log.

    A frame is a page with its head. `indexed` is the last committed frame by the index, `folded` how many of them are
    in the database already; `commits` are the frames that end a transaction, whether their checksums hold or not.
    """

    page_bytes: int
    order: str
    indexed: int
    folded: int
    commits: tuple[int, ...]


def _read_log(path: Path) -> _Log | None:
    """The log beside a database; None where it is empty or not there and the index knows of none.

    The format is that of https://www.sqlite.org/walformat.html.
    """
    head, heads, page_bytes = b"", [], _PAGE_BYTES
    with contextlib.suppress(FileNotFoundError), _log_of(path).open("rb") as log:
        head = log.read(_HEAD_BYTES)
        page_bytes = int.from_bytes(head[8:12], "big") if _head_holds(head) else _PAGE_BYTES
        step = _FRAME_HEAD_BYTES + page_bytes
        whole = range(_HEAD_BYTES, os.fstat(log.fileno()).st_size - step + 1, step)
        heads = [os.pread(log.fileno(), _FRAME_HEAD_BYTES, at) for at in whole]
    # Of another generation than the head are pages that were folded in before the log began anew.
    salt = head[16:24] if _head_holds(head) else heads[0][8:16] if heads else None
    indexed, folded = _index(path, salt)
    commits = tuple(at for at, each in enumerate(heads, 1) if each[8:16] == salt and each[4:8] != bytes(4))
    if not indexed and not commits:
        return None
    return _Log(page_bytes, _order(head) or "<", indexed, folded, commits)


def _durable_after(path: Path, log: _Log, recovered: int) -> int | None:
    """The last commit behind what was recovered that another one, whole, was appended to."""
    left_out = [frame for frame in log.commits if frame > recovered]
    for first, second in reversed(list(pairwise(left_out))):
        if _follows(path, log, first, second):
            return first
    return None


def _follows(path: Path, log: _Log, first: int, second: int) -> bool:
    """Whether the frames after `first`, up to `second`, carry its checksum on: what a failed commit left does not."""
    step = _FRAME_HEAD_BYTES + log.page_bytes
    with _log_of(path).open("rb") as file:
        file.seek(_HEAD_BYTES + (first - 1) * step)
        so_far = file.read(step)[16:24]
        for _ in range(first, second):
            frame = file.read(step)
            so_far = _checksum(frame[:8] + frame[_FRAME_HEAD_BYTES:], log.order, so_far)
            if so_far != frame[16:24]:
                return False
    return True


def _order(head: bytes) -> str:
    """The byte order of a log's checksums by its magic number; empty where that is none."""
    return {0x377F0682: "<", 0x377F0683: ">"}.get(int.from_bytes(head[:4], "big"), "")


def _head_holds(head: bytes) -> bool:
    order = _order(head)
    return len(head) == _HEAD_BYTES and bool(order) and _checksum(head[:24], order, bytes(8)) == head[24:]


def _checksum(data: bytes, order: str, so_far: bytes) -> bytes:
    first, second = struct.unpack(">2I", so_far)
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return struct.pack(">2I", first, second)


def _index(path: Path, salt: bytes | None) -> tuple[int, int]:
    """The last committed frame by the index, and how many are folded in; 0 where it is torn, or of another log."""
    try:
        with path.with_name(f"{path.name}-shm").open("rb") as file:
            index = file.read(100)
    except OSError:
        return 0, 0
    if len(index) < 100 or index[:48] != index[48:96] or (salt is not None and index[32:40] != salt):
        return 0, 0
    frames, folded = struct.unpack_from("=I", index, 16)[0], struct.unpack_from("=I", index, 96)[0]
    return int(frames), int(folded)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")

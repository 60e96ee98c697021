"""Copies files and the state of a process into a write-once folder, and reads such a folder back against its manifest.

`evidence.capture` calls it, in threads. Files are hashed as they are written, flushed to the disk and read-only.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from actions.support import sha256, write_new
from engine.model import InForce, NotInForce, Struct, Verification

_CHUNK_BYTES = 1 << 20
# The environment is left out: it holds secrets.
_PROC_FILES = ("cmdline", "status", "stat", "maps", "limits", "cgroup", "io", "mountinfo", "net/tcp", "net/tcp6")


class CancelledCopyError(Exception):
    """The step that wanted the copy is over; nobody waits for it any more."""


class Captured(Struct, frozen=True):
    """One file of the manifest: where it was, where the copy is below the folder, and what it was."""

    source: str
    copy: str
    bytes: int
    sha256: str
    mode: int
    modified_us: int


class Manifest(Struct, frozen=True):
    """manifest.json; `missing` says of each thing that could not be kept why."""

    incident: str
    intent: str
    captured_us: int
    files: tuple[Captured, ...]
    missing: dict[str, str] = {}


def copy_file(source: Path, part: Path, copy: Path, stopped: Callable[[], bool]) -> Captured:
    """Copies one file, hashing what is written, flushed and read-only."""
    handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    target = part / copy
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, count = hashlib.sha256(), 0
    with os.fdopen(handle, "rb") as reader, target.open("xb") as writer:
        info = os.fstat(handle)
        while chunk := reader.read(_CHUNK_BYTES):
            if stopped():
                raise CancelledCopyError
            digest.update(chunk)
            count += writer.write(chunk)
        writer.flush()
        os.fchmod(writer.fileno(), 0o400)
        os.fsync(writer.fileno())
    return Captured(
        str(source), str(copy), count, digest.hexdigest(), stat.S_IMODE(info.st_mode), info.st_mtime_ns // 1000
    )


def copy_process(pid: int, part: Path, missing: dict[str, str], stopped: Callable[[], bool]) -> Iterator[Captured]:
    """The readable files of /proc/PID, and where its links lead."""
    base = Path(f"/proc/{pid}")
    if not base.exists():
        missing[str(base)] = "there is no such process"
        return
    for name in _PROC_FILES:
        try:
            yield copy_file(base / name, part, Path("process") / name, stopped)
        except FileNotFoundError:
            continue  # this kernel does not have it
        except OSError as error:
            missing[str(base / name)] = error.strerror or "can't be read"
    links = {}
    for link in [base / "exe", base / "cwd", *sorted(base.glob("fd/*"))]:
        try:
            links[str(link.relative_to(base))] = str(link.readlink())
        except OSError as error:
            links[str(link.relative_to(base))] = f"({error.strerror})"
    data = msgspec.json.format(msgspec.json.encode(links)) + b"\n"
    (part / "process").mkdir(exist_ok=True, mode=0o700)
    write_new(part / "process/links.json", data, mode=0o400)
    yield Captured(str(base), "process/links.json", len(data), sha256(data), 0o400, 0)


def copy_outputs(outputs: dict[str, bytes | str], part: Path, missing: dict[str, str]) -> Iterator[Captured]:
    """What programs said, one file each; a text instead says why there is nothing."""
    for name, output in outputs.items():
        if isinstance(output, str):
            missing[f"command {name}"] = output
            continue
        (part / "commands").mkdir(exist_ok=True, mode=0o700)
        write_new(part / "commands" / name, output, mode=0o400)
        yield Captured(f"command {name}", f"commands/{name}", len(output), sha256(output), 0o400, 0)


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of a capture and its SHA-256. Raises OSError, msgspec.DecodeError."""
    data = (folder / "manifest.json").read_bytes()
    return msgspec.json.decode(data, type=Manifest), sha256(data)


def verify_folder(folder: Path, manifest_sha256: str) -> Verification:
    """Hashes every copy again and compares it with the manifest."""
    if not folder.exists():
        return NotInForce(f"there is no {folder}")
    if manifest_sha256 and sha256((folder / "manifest.json").read_bytes()) != manifest_sha256:
        return NotInForce(f"{folder}/manifest.json was changed")
    manifest, digest = read_manifest(folder)
    for each in manifest.files:
        with (folder / each.copy).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != each.sha256:
                return NotInForce(f"{folder / each.copy} was changed")
    if manifest.missing:
        return NotInForce(f"not all was captured: {', '.join(manifest.missing)}")
    return InForce(f"{len(manifest.files)} files, manifest {digest[:12]}")

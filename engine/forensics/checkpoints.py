"""A folder of checkpoints to what is known of each: when it was made, whether it is whole, and what was said of it.

    BACKUPS/MODEL/VERSION/…              the files, and SHA256SUMS over them as `sha256sum` writes it
    BACKUPS/MODEL/VERSION/checkpoint.json   when it was made and up to when its data goes; SHA256SUMS covers it
    BACKUPS/MODEL/VERSION.verdict.json      what a person or a technique said of it, apart from what must not change

`halon checkpoints` lists and keeps them; `model.restore` takes the newest one that is sound. Reads only, but for
`add_checkpoint` and `judge_checkpoint`, which write beside and rename.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path, PurePosixPath

import msgspec

from engine.clock import format_time, parse_time_us
from engine.folders import sync_folder
from engine.forensics.files import LIMITS, Limits, read_small, sha256_file, walk
from engine.forensics.report import EvidenceError
from engine.model import Struct

SUMS = "SHA256SUMS"
ABOUT = "checkpoint.json"
VERDICT = ".verdict.json"
_SUMS_BYTES_MAX = 16 << 20
_SMALL_BYTES_MAX = 64 << 10
_VERSIONS_MAX = 10_000


class Standing(StrEnum):
    """What may be made of a checkpoint: only a sound one is ever restored."""

    SOUND = "sound"
    TAMPERED = "tampered"
    CONTAMINATED = "contaminated"


class About(Struct, frozen=True):
    """What `checkpoint.json` says: RFC 3339 times; `data_until` is the newest data that it was trained on."""

    made: str
    data_until: str = ""
    note: str = ""
    format: str = "halon-checkpoint-1"


class Opinion(Struct, frozen=True):
    """What was said of a checkpoint, by whom and when."""

    contaminated: bool
    why: str
    by: str
    at: str
    sums_sha256: str = ""
    """Of its SHA256SUMS then: a checkpoint that was rewritten since is not the one that was judged."""


class Checkpoint(Struct, frozen=True):
    """One checkpoint. `time_us` is the newest data in it, or when it was made, or else the time of its SHA256SUMS."""

    version: str
    time_us: int
    standing: Standing
    why: str
    sums_sha256: str = ""
    files: int = 0
    size_bytes: int = 0


def list_checkpoints(folder: Path, limits: Limits = LIMITS) -> list[Checkpoint]:
    """All checkpoints of a model, newest first, each read whole and held against its SHA256SUMS.

    Raises EvidenceError where the folder can't be read.
    """
    return [examine_checkpoint(folder, version, limits) for version, _ in _versions(folder)]


def newest_sound(
    folder: Path, *, before_us: int | None = None, limits: Limits = LIMITS
) -> tuple[Checkpoint, dict[str, str]]:
    """The newest sound checkpoint, made of data from before that time, and why newer ones were passed over.

    Raises EvidenceError where there is none.
    """
    rejected: dict[str, str] = {}
    for version, time_us in _versions(folder):
        if before_us is not None and time_us >= before_us:
            rejected[version] = f"it is of {format_time(time_us)}, not from before {format_time(before_us)}"
            continue
        found = examine_checkpoint(folder, version, limits)
        if found.standing is Standing.SOUND:
            return found, rejected
        rejected[version] = found.why
    reasons = "; ".join(f"{version}: {why}" for version, why in rejected.items()) or f"{folder} is empty"
    raise EvidenceError(f"no checkpoint is sound: {reasons}")


def examine_checkpoint(folder: Path, version: str, limits: Limits = LIMITS) -> Checkpoint:
    """One checkpoint, read whole. What can't be read is `tampered`, with the reason."""
    place = folder / version
    time_us = _time_us(place)
    try:
        opinion = _opinion(folder, version)
        sums = read_small(place / SUMS, _SUMS_BYTES_MAX)
        size = sum(_held(place, sums, limits))
    except (EvidenceError, ValueError) as error:
        return Checkpoint(version, time_us, Standing.TAMPERED, str(error))
    digest = hashlib.sha256(sums).hexdigest()
    files = len(_parse(sums))
    if opinion is not None and opinion.sums_sha256 not in {"", digest}:
        why = f"it was rewritten since {opinion.by} judged it at {opinion.at}"
        return Checkpoint(version, time_us, Standing.TAMPERED, why, digest, files, size)
    if opinion is not None and opinion.contaminated:
        why = f"said by {opinion.by} at {opinion.at}: {opinion.why}"
        return Checkpoint(version, time_us, Standing.CONTAMINATED, why, digest, files, size)
    why = f"said clean by {opinion.by}: {opinion.why}" if opinion is not None else ""
    return Checkpoint(version, time_us, Standing.SOUND, why, digest, files, size)


def why_tampered(place: Path, sums_sha256: str = "", limits: Limits = LIMITS) -> str:
    """Why a folder does not verify against its SHA256SUMS (of that hash, if one is given); empty where it does."""
    try:
        sums = read_small(place / SUMS, _SUMS_BYTES_MAX)
        if sums_sha256 and hashlib.sha256(sums).hexdigest() != sums_sha256:
            return f"{place / SUMS} is another one"
        for _ in _held(place, sums, limits):
            pass
    except (EvidenceError, ValueError) as error:
        return str(error)
    return ""


def add_checkpoint(source: Path, folder: Path, version: str, *, about: About, limits: Limits = LIMITS) -> Checkpoint:
    """Copy a folder into the backups under a new version, with its SHA256SUMS. Raises EvidenceError."""
    place, staged = folder / version, folder / f".{version}.part"
    if place.exists():
        raise EvidenceError(f"{place} exists; a checkpoint is never overwritten")
    names = walk(source, limits)
    reserved = sorted({SUMS, ABOUT} & set(names))
    if not names or reserved:
        raise EvidenceError(f"{source} holds {reserved[0]} already" if reserved else f"{source} is empty")
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        lines = [_copied(source / name, staged / name, name, limits) for name in names]
        said = msgspec.json.encode(about)
        _put(staged / ABOUT, said)
        lines.append(f"{hashlib.sha256(said).hexdigest()}  {ABOUT}\n")
        _put(staged / SUMS, "".join(lines).encode())
        staged.rename(place)
        sync_folder(folder)
    except OSError as error:
        raise EvidenceError(f"{error.filename or place}: {error.strerror}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return examine_checkpoint(folder, version, limits)


def judge_checkpoint(folder: Path, version: str, opinion: Opinion) -> None:
    """Write down what was said of a checkpoint, as it is now; the newest word counts. Raises EvidenceError."""
    if not (folder / version).is_dir():
        raise EvidenceError(f"there is no checkpoint {folder / version}")
    sums = read_small(folder / version / SUMS, _SUMS_BYTES_MAX)
    opinion = msgspec.structs.replace(opinion, sums_sha256=hashlib.sha256(sums).hexdigest())
    part = folder / f".{version}{VERDICT}.part"
    try:
        part.unlink(missing_ok=True)
        _put(part, msgspec.json.encode(opinion))
        part.replace(folder / f"{version}{VERDICT}")
        sync_folder(folder)
    except OSError as error:
        raise EvidenceError(f"{error.filename or part}: {error.strerror}") from error


def _versions(folder: Path) -> list[tuple[str, int]]:
    """(version, time) of the checkpoints in a folder, newest first."""
    try:
        found = [each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")]
    except OSError as error:
        raise EvidenceError(f"no checkpoints: {folder}: {error.strerror}; each needs a {SUMS}") from error
    if len(found) > _VERSIONS_MAX:
        raise EvidenceError(f"{folder} holds more than {_VERSIONS_MAX:,} checkpoints")
    timed = [(each.name, _time_us(each)) for each in found]
    return sorted(timed, key=lambda each: (each[1], each[0]), reverse=True)


def _time_us(place: Path) -> int:
    """How new a checkpoint is. Whoever forges an older time in `checkpoint.json` breaks its SHA256SUMS."""
    try:
        about = msgspec.json.decode(read_small(place / ABOUT, _SMALL_BYTES_MAX), type=About)
        return parse_time_us(about.data_until or about.made)
    except (EvidenceError, msgspec.DecodeError, ValueError):
        pass
    try:
        return (place / SUMS).lstat().st_mtime_ns // 1_000
    except OSError:
        return 0


def _opinion(folder: Path, version: str) -> Opinion | None:
    path = folder / f"{version}{VERDICT}"
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_small(path, _SMALL_BYTES_MAX), type=Opinion)
    except msgspec.DecodeError as error:
        # Whether it was called contaminated can't be told, so it is not sound.
        raise EvidenceError(f"{path} can't be read: {error}; correct or remove it") from error


def _held(place: Path, sums: bytes, limits: Limits) -> Iterator[int]:
    """The size of each file, once it was found to be what SHA256SUMS says. Raises EvidenceError or ValueError."""
    wanted = _parse(sums)
    there = set(walk(place, limits))
    if there != {*wanted, SUMS}:
        odd = sorted(there ^ {*wanted, SUMS})
        raise EvidenceError(f"{place} and its {SUMS} differ in {', '.join(odd[:5])}")
    for name, expected in wanted.items():
        digest, size = sha256_file(place / name, limits)
        if digest != expected:
            raise EvidenceError(f"{place / name} is not what {SUMS} says")
        yield size


def _parse(data: bytes) -> dict[str, str]:
    """File names to their digests. Raises ValueError."""
    wanted = {}
    for line in data.decode().splitlines():
        digest, _, name = line.partition(" ")
        path = PurePosixPath(name.lstrip(" *"))
        if len(digest) != 64 or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{SUMS}: `{line[:80]}` is no line of sha256sum")
        wanted[str(path)] = digest.lower()
    if not wanted:
        raise ValueError(f"{SUMS} is empty")
    return wanted


def _copied(source: Path, target: Path, name: str, limits: Limits) -> str:
    """Copy one plain file, flushed; its line of SHA256SUMS, from the copy."""
    if source.is_symlink() or not source.is_file():
        raise EvidenceError(f"{source} is no plain file; a checkpoint holds plain files only")
    if "\n" in name or "\\" in name:
        raise EvidenceError(f"{source}: a name with a line break or backslash can't stand in {SUMS}")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return f"{sha256_file(target, limits)[0]}  {name}\n"


def _put(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

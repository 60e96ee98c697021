"""A folder of files becomes a manifest, and a folder with its manifest becomes a report that names the shards.

The entries are sorted by name, and their Merkle root (RFC 6962, section 2.1: SHA-256, leaves and nodes in separate
domains) is one value to sign or to keep elsewhere: any changed, added, missing or renamed file changes it.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from engine.forensics.files import LIMITS, Limits, never, read_small, sha256_file, walk
from engine.forensics.report import EvidenceError, Mark, Report, make_report
from engine.model import Struct

FORMAT = "halon-manifest-1"
_MANIFEST_BYTES_MAX = 64 << 20


class Entry(Struct, frozen=True):
    """One file: its name below the folder, its size and SHA-256."""

    name: str
    bytes: int
    sha256: str


class Manifest(Struct, frozen=True):
    """The files of a folder, sorted by name, and their Merkle root."""

    root: str
    files: tuple[Entry, ...]
    format: str = FORMAT


def build_manifest(folder: Path, limits: Limits = LIMITS, stopped: Callable[[], bool] = never) -> Manifest:
    """The manifest of what a folder holds now. Links and what is no plain file can't be vouched for: EvidenceError."""
    entries: list[Entry] = []
    for name in walk(folder, limits):
        _no_link(folder, name)
        digest, size = sha256_file(folder / name, limits, stopped)
        entries.append(Entry(name=_shown(name), bytes=size, sha256=digest))
    if not entries:
        raise EvidenceError(f"{folder} is empty")
    return Manifest(root=merkle_root([_leaf(each) for each in entries]), files=tuple(entries))


def read_manifest(path: Path) -> Manifest:
    """A manifest from its JSON, with its root checked against its entries. Raises EvidenceError."""
    try:
        manifest = msgspec.json.decode(read_small(path, _MANIFEST_BYTES_MAX), type=Manifest)
    except msgspec.DecodeError as error:
        raise EvidenceError(f"{path} is no manifest: {error}") from error
    if manifest.format != FORMAT:
        raise EvidenceError(f"{path} is a manifest of format `{manifest.format[:40]}`, not {FORMAT}")
    names = [each.name for each in manifest.files]
    if not names or len(set(names)) != len(names):
        raise EvidenceError(f"{path} names no file, or one twice")
    if not hmac.compare_digest(merkle_root([_leaf(each) for each in manifest.files]), manifest.root):
        raise EvidenceError(f"{path} was changed: its root is not that of its entries")
    return manifest


def examine_folder(
    folder: Path,
    manifest: Manifest,
    *,
    root: str = "",
    limits: Limits = LIMITS,
    stopped: Callable[[], bool] = never,
) -> Report:
    """What of a folder is changed, added or missing. `root`, kept elsewhere, also proves the manifest itself.

    A file that can't be vouched for (a link, a pipe, a sparse giant) is marked as such. Raises EvidenceError where the
    folder itself can't be read or the manifest has another root.
    """
    if root and not hmac.compare_digest(root.strip().lower(), manifest.root):
        raise EvidenceError(f"the manifest has root {manifest.root}, not {root.strip()[:80]}: it is another one")
    wanted = {each.name: each for each in manifest.files}
    marks: list[Mark] = []
    seen: set[str] = set()
    for name in walk(folder, limits):
        seen.add(_shown(name))
        expected = wanted.get(_shown(name))
        if expected is None:
            marks.append(Mark(where=_shown(name), why="added: the manifest does not name it"))
            continue
        try:
            _no_link(folder, name)
            digest, size = sha256_file(folder / name, limits, stopped)
        except EvidenceError as error:
            marks.append(Mark(where=_shown(name), why=f"can't be vouched for: {error}"))
            continue
        if not hmac.compare_digest(digest, expected.sha256):
            marks.append(Mark(where=_shown(name), why=f"changed: {size} bytes with SHA-256 {digest}"))
    marks += [Mark(where=name, why="missing") for name in wanted if name not in seen]
    told = ", ".join(f"{each.where} ({each.why.partition(':')[0]})" for each in marks[:3])
    return make_report(
        "manifest",
        str(folder),
        found=bool(marks),
        summary=f"{len(marks)} of {len(wanted)} files differ: {told}"
        if marks
        else f"all {len(wanted)} files are as expected",
        score=float(len(marks)),
        threshold=0.0,
        compared_with=f"Merkle root {manifest.root}",
        marks=marks,
        details={"files": len(wanted)},
    )


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Hex root of the Merkle tree over the leaves, by RFC 6962.

    >>> merkle_root([b""])
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'
    """
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    if not level:
        return hashlib.sha256().hexdigest()
    # Pairing from the left and carrying the odd one up gives the tree of RFC 6962: each left part is a full one.
    while len(level) > 1:
        paired = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + ([level[-1]] if len(level) % 2 else [])
    return level[0].hex()


def _leaf(entry: Entry) -> bytes:
    return msgspec.json.encode([entry.name, entry.bytes, entry.sha256])


def _no_link(folder: Path, name: str) -> None:
    path = folder / name
    if path.is_symlink():
        inside = path.resolve().is_relative_to(folder.resolve())
        raise EvidenceError(f"{name} is a symbolic link{'' if inside else ' that leads out of the folder'}")


def _shown(name: str) -> str:
    """A file name as valid text: bytes that are no UTF-8 as `\\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

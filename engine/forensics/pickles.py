"""A pickle file becomes a report of what unpickling it could call. Nothing is loaded; opcodes are only read.

A pickle is a program for a small stack machine that may import any name and call it. Here its opcodes are followed on
an abstract stack, as far as is needed to know which names are imported and what is called, and everything is held
against an allow-list: what is not known to be harmless is a finding, and so is what can't be followed. Formats: bare
streams, several streams in one file, the zip archives of `torch.save` and its older form. Compare PyTorch's
`weights_only` unpickler, and M. Slaviero, "Sour Pickles" (2011), on why a list of bad names does not do.
"""

import pickletools
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from engine.forensics.allowed import ALLOWED
from engine.forensics.files import LIMITS, Limits, open_evidence
from engine.forensics.opcodes import CODES, NotAPickleError, Opcode, read_opcodes
from engine.forensics.report import EvidenceError, Mark, Report, make_report
from engine.forensics.zips import open_member, open_zip
from engine.model import Struct

_STREAMS_MAX = 1_000
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # what files of torch.save before 1.6 begin with
_LEGACY_STREAMS = 5  # magic, version, system, the object, the keys of the storages; raw numbers follow
_RAW_MEMBERS = ("version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id")
_ARGUMENTS_MAX = 200  # characters shown of a name


class _Kind(StrEnum):
    """What is known of a value on the stack."""

    MARK = "mark"
    TEXT = "text"
    GLOBAL = "global"
    OTHER = "other"


class _Value(Struct, frozen=True):
    kind: _Kind
    text: str = ""


_MARK, _OTHER = _Value(_Kind.MARK), _Value(_Kind.OTHER)
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_IMPORTS = {"GLOBAL", "STACK_GLOBAL", "INST"}
_EXTENSIONS = {"EXT1", "EXT2", "EXT4"}
_CHANGES = {"BUILD", "SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS"}


class _Machine:
    """Follows one stream on an abstract stack; `marks` collects what is not allowed."""

    def __init__(self, where: str, allowed: frozenset[str]) -> None:
        self._where, self._allowed = where, allowed
        self._stack: list[_Value] = []
        self._memo: dict[int, _Value] = {}
        self.marks: dict[str, Mark] = {}
        self.magic = False

    def take(self, op: Opcode) -> None:
        """Follows one opcode. Raises NotAPickleError where the stack does not hold what it needs."""
        name = op.name
        if name in {"PUT", "BINPUT", "LONG_BINPUT"}:
            self._memo[int(op.argument)] = self._object(op)
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._object(op)
        elif name in {"GET", "BINGET", "LONG_BINGET"}:
            if int(op.argument) not in self._memo:
                raise NotAPickleError(f"{name} of what was never put at byte {op.at}")
            self._stack.append(self._memo[int(op.argument)])
        elif name == "MARK":
            self._stack.append(_MARK)
        elif name in _TEXTS:
            self._stack.append(_Value(_Kind.TEXT, op.argument))
        elif name == "DUP":
            self._stack.append(self._object(op))
        else:
            self._other(op)

    def _other(self, op: Opcode) -> None:
        taken = self._pop(op)
        match op.name:
            case "GLOBAL":
                self._import(op, op.argument.replace(" ", ".", 1))
            case "INST":
                self._import(op, op.argument.replace(" ", ".", 1))
                self._stack[-1] = _OTHER
            case "STACK_GLOBAL":
                self._import(op, self._name(taken))
            case "REDUCE" | "NEWOBJ" | "NEWOBJ_EX":
                self._call(op, taken[0])
            case "OBJ":
                self._call(op, taken[1] if len(taken) > 1 else _OTHER)
            case "PERSID" | "BINPERSID":
                self._stack.append(_OTHER)  # handed to the loader as data: torch names its storages so
            case name if name in _EXTENSIONS:
                self._mark(op, f"extension code {op.argument}: what it imports is not in the file")
                self._stack.append(_OTHER)
            case name if name in _CHANGES:
                if taken[0].kind is not _Kind.OTHER:
                    self._mark(op, f"changes {taken[0].text or 'what is no object'} itself instead of an object")
                self._stack.append(taken[0])
            case _:
                self.magic |= op.argument == str(_LEGACY_MAGIC)
                self._stack += [_OTHER] * len(CODES[op.code].stack_after)

    def _pop(self, op: Opcode) -> list[_Value]:
        """What the opcode takes from the stack, lowest first, by pickletools' own description of it."""
        needs = CODES[op.code].stack_before
        if pickletools.markobject in needs:
            above: list[_Value] = []
            while self._top() is not _MARK:
                above.append(self._stack.pop())
            self._stack.pop()
            before = [self._take_one(op) for _ in needs[: needs.index(pickletools.markobject)]]
            return [*reversed(before)] if before else [_MARK, *reversed(above)]
        return [*reversed([self._take_one(op) for _ in needs])]

    def _take_one(self, op: Opcode) -> _Value:
        value = self._top()
        if value is _MARK and op.name != "POP":
            raise NotAPickleError(f"{op.name} at byte {op.at} takes a mark for an object")
        return self._stack.pop()

    def _object(self, op: Opcode) -> _Value:
        if self._top() is _MARK:
            raise NotAPickleError(f"{op.name} at byte {op.at} takes a mark for an object")
        return self._top()

    def _top(self) -> _Value:
        if not self._stack:
            raise NotAPickleError("its stack runs empty")
        return self._stack[-1]

    @staticmethod
    def _name(taken: list[_Value]) -> str | None:
        if len(taken) == 2 and all(each.kind is _Kind.TEXT for each in taken):
            return f"{taken[0].text}.{taken[1].text}"
        return None

    def _import(self, op: Opcode, name: str | None) -> None:
        if name is None:
            self._mark(op, "imports a name that is computed")
        elif name not in self._allowed:
            self._mark(op, f"imports {name[:_ARGUMENTS_MAX]}")
        self._stack.append(_Value(_Kind.GLOBAL, name or "?"))

    def _call(self, op: Opcode, called: _Value) -> None:
        if called.kind is not _Kind.GLOBAL:
            self._mark(op, "calls what is no imported name")
        self._stack.append(_OTHER)

    def _mark(self, op: Opcode, why: str) -> None:
        self.marks.setdefault(why, Mark(where=f"{self._where}, byte {op.at}", why=f"{op.name} {why}"))


def examine_pickle(path: Path, *, allow: Iterable[str] = (), limits: Limits = LIMITS) -> Report:
    """Which names a file would import and call when it is unpickled, beyond the allow-list and `allow` (`module.name`).

    Never raises for what the file holds: what can't be followed to its end is a finding. Raises EvidenceError where
    there is no such file. Time is bounded by `limits.opcodes_max`, about a second per million.
    """
    allowed = ALLOWED | frozenset(allow)
    with open_evidence(path, limits) as (file, size):
        magic = file.read(4)
        file.seek(0)
        if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            marks, streams = _scan_zip(file, path, allowed, limits)
        else:
            marks, streams = _scan_stream(file, path.name, size, allowed, limits)
    what = "; ".join(dict.fromkeys(each.why for each in marks[:3]))
    return make_report(
        "pickle",
        str(path),
        found=bool(marks),
        summary=f"unpickling it may run code: {what}"
        if marks
        else f"{streams} pickle streams import only what is allowed",
        score=float(len(marks)),
        threshold=0.0,
        compared_with=f"an allow-list of {len(allowed)} names",
        marks=marks,
        details={"streams": streams},
    )


def _scan_zip(file: BinaryIO, path: Path, allowed: frozenset[str], limits: Limits) -> tuple[list[Mark], int]:
    marks: list[Mark] = []
    streams = 0
    try:
        with open_zip(file, path, limits) as archive:
            names = [each.filename for each in archive.infolist()]
            if len(set(names)) != len(names):
                marks.append(
                    Mark(where=path.name, why="holds two members of one name: readers may not agree which counts")
                )
            for member in archive.infolist():
                if member.is_dir() or _is_raw(member.filename):
                    continue
                if member.file_size > limits.inflated_bytes_max:
                    marks.append(Mark(where=member.filename[:200], why=f"inflates to {member.file_size:,} bytes"))
                    continue
                with open_member(archive, member, path) as stream:
                    found, count = _scan_member(stream, member, allowed, limits)
                marks += found
                streams += count
    except EvidenceError as error:
        marks.append(Mark(where=path.name, why=str(error)))
    return marks, streams


def _scan_member(
    stream: BinaryIO, member: zipfile.ZipInfo, allowed: frozenset[str], limits: Limits
) -> tuple[list[Mark], int]:
    name = member.filename[:200]
    try:
        if name.endswith(".npy"):
            return _scan_array(stream, name)
        return _scan_stream(stream, name, member.file_size, allowed, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        return [Mark(where=name, why=f"is damaged: {error}")], 0


def _scan_array(stream: BinaryIO, name: str) -> tuple[list[Mark], int]:
    """An array of a NumPy archive: harmless unless it holds objects."""
    head = stream.read(10_240)
    end = head.find(b"\n")
    if not head.startswith(b"\x93NUMPY") or end < 0:
        return [Mark(where=name, why="is no NumPy array")], 0
    if b"O" in head[8:end].partition(b"'descr':")[2].partition(b"'fortran_order'")[0]:
        return [Mark(where=name, why="is an array of objects, a pickle by another name")], 0
    return [], 0


def _is_raw(name: str) -> bool:
    """Members of a torch archive that its loader reads as numbers or text, never as a pickle."""
    rest = name.partition("/")[2]
    return rest in _RAW_MEMBERS or (rest.startswith("data/") and rest[5:].isdecimal())


def _scan_stream(
    file: BinaryIO, where: str, size: int, allowed: frozenset[str], limits: Limits
) -> tuple[list[Mark], int]:
    """All pickle streams of a file, one after the other."""
    marks: list[Mark] = []
    reader = BufferedReader(file, 1 << 16) if not isinstance(file, BufferedReader) else file  # type: ignore[type-var]
    count, at, left, legacy = 0, 0, limits.opcodes_max, False
    while at < size and not (legacy and count == _LEGACY_STREAMS):
        machine = _Machine(f"{where}, stream {count + 1}", allowed)
        try:
            for op in _limited(read_opcodes(reader, at, size), left):
                left -= 1
                machine.take(op)
                at = op.end
        except NotAPickleError as error:
            what = "is no pickle" if not count and not machine.marks else "has what is no pickle behind a stream"
            return [*marks, *machine.marks.values(), Mark(where=where, why=f"{what}: {error}")], count
        marks += machine.marks.values()
        legacy |= count == 0 and machine.magic
        count += 1
        if count >= _STREAMS_MAX:
            return [*marks, Mark(where=where, why=f"holds more than {_STREAMS_MAX} streams")], count
    if not count:
        marks.append(Mark(where=where, why="is empty"))
    return marks, count


def _limited(opcodes: Iterator[Opcode], left: int) -> Iterator[Opcode]:
    for number, op in enumerate(opcodes):
        if number >= left:
            raise NotAPickleError(f"more opcodes than are followed, at byte {op.at}")
        yield op

"""The bytes of a pickle become its opcodes, without ever holding a long argument in memory. For `pickles`.

`pickletools.genops` reads an argument as long as the file says it is; here long data is skipped, and only texts, which
may be names, are kept. The table of opcodes is pickletools' own.
"""

import pickletools
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from engine.model import Struct

_TEXT_BYTES_MAX = 1 << 16
_LINE_BYTES_MAX = 16 << 20
_SKIP_BYTES = 1 << 20
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}

CODES = {each.code: each for each in pickletools.opcodes}
"""Every opcode there is, by its byte as a character."""


class NotAPickleError(Exception):
    """These bytes are no pickle that can be followed."""


class Opcode(Struct, frozen=True):
    """One opcode: its code and name, its argument as text (of long data: empty), and where it begins and ends."""

    code: str
    name: str
    argument: str
    at: int
    end: int


def read_opcodes(file: BinaryIO, at: int, size: int) -> Iterator[Opcode]:
    """The opcodes of the stream that begins at byte `at`, up to its STOP. `file` stands there; only reads forward.

    Raises NotAPickleError.
    """
    while True:
        code = file.read(1)
        if not code:
            raise NotAPickleError(f"it ends at byte {at} without STOP")
        info = CODES.get(code.decode("latin-1"))
        if info is None:
            raise NotAPickleError(f"byte {at} is {code.hex()}, which is no opcode")
        argument, length = _argument(file, info, at + 1, size)
        yield Opcode(code=info.code, name=info.name, argument=argument, at=at, end=at + 1 + length)
        at += 1 + length
        if info.name == "STOP":
            return


def _argument(file: BinaryIO, info: pickletools.OpcodeInfo, at: int, size: int) -> tuple[str, int]:
    if info.arg is None:
        return "", 0
    if info.arg.n >= 0:
        raw = _exactly(file, info.arg.n, at)
        return _parse(info, raw, at), info.arg.n
    if info.arg.n == pickletools.UP_TO_NEWLINE:
        lines = [_line(file, at) for _ in range(2 if info.name in {"GLOBAL", "INST"} else 1)]
        raw = b"".join(lines)
        return _parse(info, raw, at), len(raw)
    width = _LENGTHS[info.arg.n]
    head = _exactly(file, width, at)
    length = int.from_bytes(head, "little", signed=info.arg.n == pickletools.TAKEN_FROM_ARGUMENT4)
    if length < 0 or at + width + length > size:
        raise NotAPickleError(f"{info.name} at byte {at - 1} claims {length:,} bytes, more than there are")
    if "UNICODE" in info.name or "STRING" in info.name or info.name == "LONG1":
        if length <= _TEXT_BYTES_MAX:
            return _parse(info, head + _exactly(file, length, at), at), width + length
        _skip(file, length, at)
        return "\0 (a text too long for a name)", width + length
    _skip(file, length, at)
    return "", width + length


def _parse(info: pickletools.OpcodeInfo, raw: bytes, at: int) -> str:
    assert info.arg is not None
    try:
        return str(info.arg.reader(BytesIO(raw)))
    except (ValueError, UnicodeError, IndexError) as error:
        raise NotAPickleError(f"the argument of {info.name} at byte {at - 1} is damaged") from error


def _line(file: BinaryIO, at: int) -> bytes:
    line = file.readline(_LINE_BYTES_MAX)
    if not line.endswith(b"\n"):
        raise NotAPickleError(f"a line at byte {at} has no end")
    return line


def _exactly(file: BinaryIO, count: int, at: int) -> bytes:
    raw = file.read(count)
    if len(raw) != count:
        raise NotAPickleError(f"it is truncated at byte {at}")
    return raw


def _skip(file: BinaryIO, count: int, at: int) -> None:
    while count:
        piece = file.read(min(count, _SKIP_BYTES))
        if not piece:
            raise NotAPickleError(f"it is truncated in the data at byte {at}")
        count -= len(piece)

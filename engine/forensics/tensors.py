"""A `.safetensors`, `.npz` or `.npy` file becomes an index of its tensors, read one at a time and never unpickled.

The form is told by the content, not the name. Sizes are checked against the file before anything is allocated; arrays
of objects, which NumPy would unpickle, are refused. Files are read with plain reads, not mapped: a mapped file that
someone cuts off meanwhile would kill the process. Called by all of this package that takes arrays.
"""

import ast
import re
import zipfile
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from engine.forensics.files import LIMITS, Limits, open_evidence
from engine.forensics.report import EvidenceError
from engine.forensics.zips import open_member, open_zip
from engine.model import Struct

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_RANK_MAX = 32
_NPY_HEADER_BYTES_MAX = 10_000  # what NumPy itself takes from strangers
_NPY_DESCR = re.compile(r"[<>|=]?(?:\?|b1|[iu][1248]|f[248]|c(?:8|16)|[US]\d{1,6})", re.ASCII)
_CHUNK_BYTES = 8 << 20
_SAFE_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_SAFE_BYTES = {"F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}


class TensorInfo(Struct, frozen=True):
    """One tensor: its name, NumPy or safetensors dtype, shape and bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


class _SafeEntry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class TensorFile:
    """The index of a file, checked; `read` gives one tensor. Raises EvidenceError throughout."""

    def __init__(self, path: Path, limits: Limits = LIMITS) -> None:
        self.path, self._limits = path, limits
        self._places: dict[str, int] = {}
        with open_evidence(path, limits) as (file, size):
            magic = file.read(8)
            if magic.startswith(b"\x93NUMPY"):
                self.form, found = "npy", self._index_npy(file, size)
            elif magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
                self.form, found = "npz", self._index_npz(file)
            else:
                self.form, found = "safetensors", self._index_safetensors(file, magic, size)
        self.infos: dict[str, TensorInfo] = {each.name: each for each in found}

    def __contains__(self, name: object) -> bool:
        return name in self.infos

    def read(self, name: str) -> Array:
        """A tensor as an array; bfloat16 becomes float32."""
        info = self.infos.get(name)
        if info is None:
            raise EvidenceError(
                f"{self.path} has no array `{name}`; it has {', '.join(list(self.infos)[:20]) or 'none'}"
            )
        if info.bytes > self._limits.tensor_bytes_max:
            raise EvidenceError(
                f"{self.path}: `{name}` has {info.bytes:,} bytes, more than {self._limits.tensor_bytes_max:,}"
            )
        if info.dtype in _SAFE_BYTES:
            raise EvidenceError(f"{self.path}: `{name}` has dtype {info.dtype}, which is not supported")
        with open_evidence(self.path, self._limits) as (file, _):
            if self.form == "npz":
                return self._read_member(file, info)
            file.seek(self._places[name])
            fortran = self.form == "npy" and self._fortran
            kind = _SAFE_DTYPES[info.dtype] if self.form == "safetensors" else info.dtype
            array = _fill(file, kind, info, fortran=fortran, where=str(self.path))
        return _widen(array) if info.dtype == "BF16" else array

    def floats(self, name: str) -> Floats:
        """A tensor of numbers as float64."""
        array = self.read(name)
        if array.dtype.kind not in "biuf":
            raise EvidenceError(f"{self.path}: `{name}` is {array.dtype}, not real numbers")
        return array.astype(np.float64)

    def _index_npy(self, file: BinaryIO, size: int) -> Iterator[TensorInfo]:
        file.seek(0)
        info, self._fortran, start = _npy_header(file, self.path.stem, str(self.path))
        if start + info.bytes != size:
            raise EvidenceError(
                f"{self.path}: its header promises {info.bytes:,} bytes, the file holds {size - start:,}"
            )
        self._places[info.name] = start
        return iter([info])

    def _index_npz(self, file: BinaryIO) -> Iterator[TensorInfo]:
        with open_zip(file, self.path, self._limits) as archive:
            found = []
            for member in archive.infolist():
                if member.is_dir():
                    continue
                if not member.filename.endswith(".npy"):
                    raise EvidenceError(f"{self.path}: `{member.filename[:80]}` is no array; is this a NumPy archive?")
                with open_member(archive, member, self.path) as stream:
                    name = member.filename.removesuffix(".npy")
                    info, _, start = _npy_header(stream, name, f"{self.path}: {name}")
                if start + info.bytes != member.file_size:
                    raise EvidenceError(
                        f"{self.path}: the header of `{name}` promises {info.bytes:,} bytes, the archive"
                        f" {member.file_size - start:,}"
                    )
                found.append(info)
        if len({each.name for each in found}) != len(found):
            raise EvidenceError(f"{self.path} holds two arrays of one name")
        return iter(found)

    def _read_member(self, file: BinaryIO, info: TensorInfo) -> Array:
        with open_zip(file, self.path, self._limits) as archive:
            member = archive.getinfo(f"{info.name}.npy")
            if member.compress_type != zipfile.ZIP_STORED and info.bytes > self._limits.inflated_bytes_max:
                raise EvidenceError(
                    f"{self.path}: `{info.name}` inflates to {info.bytes:,} bytes, more than"
                    f" {self._limits.inflated_bytes_max:,}"
                )
            with open_member(archive, member, self.path) as stream:
                _, fortran, _ = _npy_header(stream, info.name, str(self.path))
                try:
                    return _fill(stream, info.dtype, info, fortran=fortran, where=f"{self.path}: {info.name}")
                except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                    raise EvidenceError(f"{self.path}: `{info.name}` is damaged: {error}") from error

    def _index_safetensors(self, file: BinaryIO, magic: bytes, size: int) -> Iterator[TensorInfo]:
        length = int.from_bytes(magic, "little")
        if len(magic) < 8 or not 2 <= length <= min(size - 8, self._limits.header_bytes_max):
            raise EvidenceError(f"{self.path} is neither safetensors nor a NumPy file, or it is truncated")
        header = file.read(length)
        if not header.startswith(b"{"):
            raise EvidenceError(f"{self.path} is neither safetensors nor a NumPy file")
        try:
            raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
            raw.pop("__metadata__", None)
            entries = {name: msgspec.json.decode(each, type=_SafeEntry) for name, each in raw.items()}
        except (msgspec.DecodeError, RecursionError) as error:
            raise EvidenceError(f"{self.path}: the header of this safetensors file is damaged: {error}") from error
        if len(entries) > self._limits.members_max:
            raise EvidenceError(f"{self.path} holds more than {self._limits.members_max:,} tensors")
        return self._check_layout(entries, data=8 + length, size=size)

    def _check_layout(self, entries: dict[str, _SafeEntry], *, data: int, size: int) -> Iterator[TensorInfo]:
        """As the format demands: in order, without holes or overlap, to the end of the file."""
        at, found = 0, []
        for name, each in sorted(entries.items(), key=lambda item: item[1].data_offsets):
            begin, end = each.data_offsets
            width = (
                np.dtype(_SAFE_DTYPES[each.dtype]).itemsize
                if each.dtype in _SAFE_DTYPES
                else _SAFE_BYTES.get(each.dtype)
            )
            if width is None:
                raise EvidenceError(f"{self.path}: `{name[:80]}` has the unknown dtype `{each.dtype[:20]}`")
            if len(each.shape) > _RANK_MAX or any(side < 0 for side in each.shape):
                raise EvidenceError(f"{self.path}: `{name[:80]}` has no possible shape")
            if begin != at or end - begin != prod(each.shape) * width:
                raise EvidenceError(
                    f"{self.path}: `{name[:80]}` overlaps, leaves a hole, or is not as large as its shape"
                )
            found.append(TensorInfo(name=name, dtype=each.dtype, shape=tuple(each.shape), bytes=end - begin))
            self._places[name] = data + begin
            at = end
        if data + at != size:
            raise EvidenceError(f"{self.path} is truncated or has bytes at its end: {size - data:,} instead of {at:,}")
        return iter(found)


def _npy_header(stream: BinaryIO, name: str, where: str) -> tuple[TensorInfo, bool, int]:
    """What the header of an .npy stream says: the tensor, whether in Fortran's order, and where its data starts."""
    try:
        magic = stream.read(8)
        wide = 2 if magic[6:7] == b"\x01" else 4
        length = int.from_bytes(stream.read(wide), "little")
        if not magic.startswith(b"\x93NUMPY") or magic[6:8] not in {b"\x01\x00", b"\x02\x00", b"\x03\x00"}:
            raise EvidenceError(f"{where} is no NumPy array")
        if length > _NPY_HEADER_BYTES_MAX:
            raise EvidenceError(f"{where}: a header of {length:,} bytes is more than {_NPY_HEADER_BYTES_MAX:,}")
        text = stream.read(length)
        if len(text) != length:
            raise EvidenceError(f"{where} is truncated in its header")
        header = ast.literal_eval(text.decode("utf-8" if magic[6] == 3 else "latin-1").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise EvidenceError(f"{where}: its header is damaged") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise EvidenceError(f"{where} is damaged: {error}") from error
    match header:
        case {"descr": str(descr), "fortran_order": bool(fortran), "shape": tuple(shape)} if len(header) == 3:
            pass
        case {"descr": list()}:
            raise EvidenceError(f"{where} is an array of records, which is not supported")
        case _:
            raise EvidenceError(f"{where}: its header is damaged")
    if "O" in descr:
        raise EvidenceError(f"{where} is an array of objects: reading it would unpickle, which is never done")
    if not _NPY_DESCR.fullmatch(descr):
        raise EvidenceError(f"{where} has the dtype `{descr[:40]}`, which is not supported")
    if len(shape) > _RANK_MAX or not all(
        isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in shape
    ):
        raise EvidenceError(f"{where} has no possible shape")
    count = prod(shape) * np.dtype(descr).itemsize
    return TensorInfo(name=name, dtype=descr, shape=shape, bytes=count), fortran, 8 + wide + length


def _fill(stream: BinaryIO, kind: str, info: TensorInfo, *, fortran: bool, where: str) -> Array:
    """Reads the tensor's bytes in pieces: what a lying header promises is not touched before it has come."""
    raw = np.empty(info.bytes, np.uint8)
    view, at = raw.data, 0
    while at < info.bytes:
        piece = stream.read(min(_CHUNK_BYTES, info.bytes - at))
        if not piece:
            raise EvidenceError(f"{where} is truncated: {at:,} of {info.bytes:,} bytes")
        view[at : at + len(piece)] = piece
        at += len(piece)
    array: Array = raw.view(np.dtype(kind)) if info.bytes else np.empty(0, np.dtype(kind))
    return array.reshape(info.shape, order="F" if fortran else "C")


def _widen(array: Array) -> Array:
    """bfloat16 is the upper half of a float32."""
    return (array.astype(np.uint32) << 16).view(np.float32)


def not_finite(array: Array) -> int:
    """How many values are NaN or infinite."""
    if array.dtype.kind not in "fc":
        return 0
    return int(array.size - np.count_nonzero(np.isfinite(array)))

"""Arrays from real files, and from files that lie about them."""

import json
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from engine.forensics.files import Limits
from engine.forensics.report import EvidenceError
from engine.forensics.tensors import TensorFile, not_finite

ARRAYS = {
    "w": np.arange(12, dtype=np.float32).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "step": np.int64(7),
    "empty": np.empty((0, 4)),
    "mask": np.array([True, False]),
    "names": np.array(["a", "bc"]),
    "half": np.array([1.5, -2], np.float16),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_reads_as_numpy_reads_it(tmp_path, save):
    """Every kind of array, stored or compressed, equals what went in."""
    save(tmp_path / "a.npz", **ARRAYS)
    file = TensorFile(tmp_path / "a.npz")
    assert set(file.infos) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(file.read(name), array)


def test_a_single_array_reads_as_numpy_reads_it(tmp_path):
    """The tensor of an .npy file has the file's name."""
    for name, array in ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.testing.assert_array_equal(TensorFile(tmp_path / f"{name}.npy").read(name), array)


def safetensors(path, header, data=b"", *, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_safetensors_are_read_with_their_metadata_aside(tmp_path):
    """Values come back, bfloat16 widened to float32."""
    data = (
        np.arange(4, dtype="<f4").tobytes()
        + (np.array([1.5, -2], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    )
    header = {"__metadata__": {"format": "pt"}, "b": entry("BF16", [2], 16, 20), "a": entry("F32", [2, 2], 0, 16)}
    file = TensorFile(safetensors(tmp_path / "m.safetensors", header, data))
    assert list(file.infos) == ["a", "b"]
    np.testing.assert_array_equal(file.read("a"), [[0, 1], [2, 3]])
    np.testing.assert_array_equal(file.read("b"), np.array([1.5, -2], np.float32))


BROKEN = {
    "overlap": ({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, b"x" * 6, None, "overlaps"),
    "hole": ({"a": entry("U8", [4], 2, 6)}, b"x" * 6, None, "leaves a hole"),
    "shape larger than its bytes": ({"a": entry("F32", [9], 0, 4)}, b"x" * 4, None, "not as large as its shape"),
    "shape beyond 64 bits": ({"a": entry("F32", [2**62, 2**62], 0, 4)}, b"x" * 4, None, "not as large as its shape"),
    "negative shape": ({"a": entry("U8", [-1, -4], 0, 4)}, b"x" * 4, None, "no possible shape"),
    "negative offset": ({"a": entry("U8", [4], -4, 0)}, b"x" * 4, None, "overlaps"),
    "truncated": ({"a": entry("U8", [8], 0, 8)}, b"x" * 4, None, "truncated"),
    "bytes at the end": ({"a": entry("U8", [2], 0, 2)}, b"x" * 4, None, "bytes at its end"),
    "unknown dtype": ({"a": entry("OBJ", [2], 0, 2)}, b"xx", None, "unknown dtype"),
    "unknown key": ({"a": entry("U8", [2], 0, 2) | {"code": "x"}}, b"xx", None, "damaged"),
    "header beyond the file": (b"{}", b"", 2**40, "truncated"),
    "header that is no JSON": (b"{nonsense", b"", None, "damaged"),
    "header nested to the sky": (b'{"a":' + b"[" * 50_000, b"", None, "damaged"),
    "header that is a list": (b"[1,2]", b"", None, "neither"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_safetensors_file_that_lies_is_refused(tmp_path, name):
    """Every lie of a header ends in an error that names it."""
    header, data, length, says = BROKEN[name]
    with pytest.raises(EvidenceError, match=says):
        TensorFile(safetensors(tmp_path / "m.safetensors", header, data, length=length))


def npy(header, data=b"", version=b"\x01\x00"):
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text + data


NPY_BROKEN = {
    "objects": (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", pickled := b"\x80\x04N."), "unpickle"),
    "records": (npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}", pickled), "records"),
    "promises more": (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}", b"x"), "promises"),
    "negative shape": (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"), "no possible shape"),
    "a call in the header": (npy("{'descr': '<f8', 'fortran_order': False, 'shape': exit()}"), "damaged"),
    "an odd dtype": (npy("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,)}"), "not supported"),
    "a deep header": (npy("(" * 9_000), "damaged"),
    "a long header": (npy(" " * 20_000), "more than 10,000"),
    "a future version": (npy("{}", version=b"\x09\x00"), "no NumPy array"),
    "cut off in the header": (npy("{'descr': '<f8'}")[:15], "truncated"),
    "cut off in the magic": (b"\x93NUMPY", "no NumPy array"),
}


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in an archive"])
@pytest.mark.parametrize("name", NPY_BROKEN)
def test_an_array_that_lies_is_refused(tmp_path, name, inside):
    """Alone or in an archive: nothing is unpickled or evaluated, and nothing promised is allocated."""
    data, says = NPY_BROKEN[name]
    path = tmp_path / "a.npy"
    if inside:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", data)
    else:
        path.write_bytes(data)
    with pytest.raises(EvidenceError, match=says):
        TensorFile(path)


def test_a_sparse_giant_is_refused_at_once_and_in_little_memory(tmp_path):
    """100 GB of holes with an honest header: the index is instant, reading is refused by the limit."""
    path = tmp_path / "giant.npy"
    head = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (12500000000,)}")
    path.write_bytes(head)
    os.truncate(path, len(head) + 100_000_000_000)
    tracemalloc.start()
    file = TensorFile(path)
    with pytest.raises(EvidenceError, match="100,000,000,000 bytes, more than"):
        file.read("giant")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_zip_bomb_is_refused_in_little_memory(tmp_path):
    """A member that inflates beyond the limit is never inflated."""
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "a.npy", npy("{'descr': '|u1', 'fortran_order': False, 'shape': (20000000,)}", bytes(20_000_000))
        )
    file = TensorFile(tmp_path / "bomb.npz", Limits(inflated_bytes_max=1_000_000))
    tracemalloc.start()
    with pytest.raises(EvidenceError, match="inflates to 20,000,000 bytes"):
        file.read("a")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_damage_inside_an_archive_is_an_error(tmp_path):
    """Every file cut off or with a byte flipped is refused, or reads as before; nothing else is ever raised."""
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(50.0), b=np.eye(3))
    whole = (tmp_path / "a.npz").read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        for hurt in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]):
            (tmp_path / "b.npz").write_bytes(hurt)
            try:
                file = TensorFile(tmp_path / "b.npz")
                for name in file.infos:
                    file.read(name)
            except EvidenceError:
                refused += 1
    assert refused > len(whole) // 3


def test_a_directory_of_a_zip_that_is_a_giant_is_refused(tmp_path):
    """A zip that claims a directory of 50 GB is refused before it is read."""
    record = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 1, 1, 50_000_000_000, 0)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 60_000_000_000, 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    with (tmp_path / "a.npz").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.seek(60_000_000_000)
        file.write(record + locator + end)
    with pytest.raises(EvidenceError, match="zip directory of 50,000,000,000"):
        TensorFile(tmp_path / "a.npz")


def test_links_and_pipes_are_refused_without_waiting(tmp_path):
    """A link is named as such, and a pipe that nobody writes does not block."""
    np.save(tmp_path / "a.npy", np.ones(2))
    (tmp_path / "link.npy").symlink_to(tmp_path / "a.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    for name, says in (("link.npy", "symbolic link"), ("pipe.npy", "not a plain file")):
        with pytest.raises(EvidenceError, match=says):
            TensorFile(tmp_path / name)


def test_values_that_are_not_finite_are_counted():
    """NaN and both infinities count, integers never."""
    assert not_finite(np.array([1.0, np.nan, np.inf, -np.inf])) == 3
    assert not_finite(np.array([1, 2])) == 0

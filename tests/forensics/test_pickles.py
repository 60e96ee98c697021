"""Pickles of every protocol, honest and hostile. None of them is loaded: the hostile ones would leave a file behind."""

import collections
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from engine.forensics.files import Limits
from engine.forensics.pickles import examine_pickle
from engine.forensics.report import EvidenceError, Judgement

HONEST = {
    "layers": [1, 2.5, "x", b"yy", None, (1, 2), {3}, frozenset([1])],
    "weights": np.arange(12.0).reshape(3, 4),
    "scalar": np.float32(3),
    "order": collections.OrderedDict(a=1),
    "huge": 2**100,
    "long": "x" * 100_000,
}


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def look(folder, data, name="a.pkl", **options):
    (folder / name).write_bytes(data)
    return examine_pickle(folder / name, **options)


@pytest.mark.parametrize("protocol", range(6))
def test_weights_are_clean_and_code_is_a_finding_in_every_protocol(tmp_path, protocol):
    """Arrays and plain data are allowed; an import of anything else is found, and nothing of it is run."""
    assert look(tmp_path, pickle.dumps(HONEST, protocol=protocol)).judgement is Judgement.CLEAN
    report = look(tmp_path, pickle.dumps({"a": [Evil(tmp_path / "ran")]}, protocol=protocol))
    assert report.judgement is Judgement.FINDING
    assert "imports posix.mkdir" in report.summary
    assert not (tmp_path / "ran").exists()


HOSTILE = {
    "names by way of the memo": (
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x02ls\x85R.",
        "imports os.system",
    ),
    "a name that is computed": (b"\x80\x04\x8c\x02os]\x8c\x01x\x93.", "runs empty|computed"),
    "a name after a list": (b"\x80\x04]\x8c\x06system\x93.", "computed"),
    "INST": (b"(S'ls'\nios\nsystem\n.", "imports os.system"),
    "OBJ": (b"(cos\nsystem\nS'ls'\no.", "imports os.system"),
    "an extension code": (b"\x80\x02\x82\x01.", "extension code"),
    "a state set on a class": (b"\x80\x02cbuiltins\nset\n}S'a'\nK\x01sb.", "changes builtins.set itself"),
    "a call of a result": (b"\x80\x02cbuiltins\nset\n)R)R.", "calls what is no imported name"),
    "a second stream": (pickle.dumps(1) + b"cos\nsystem\n.", "imports os.system"),
    "bytes behind a stream": (pickle.dumps(1) + b"\xff\xff", "behind a stream"),
    "truncated": (pickle.dumps(list(range(100)))[:-5], "truncated"),
    "without STOP": (b"\x80\x04N", "without STOP"),
    "a length beyond the file": (b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b".", "more than there are"),
    "a negative length": (b"\x80\x01T" + struct.pack("<i", -5) + b".", "more than there are"),
    "an empty stack": (b"\x80\x02R.", "runs empty"),
    "a mark for an object": (b"\x80\x02(b.", "mark for an object"),
    "a memo that was never put": (b"\x80\x02h\x05.", "never put"),
    "text that is no UTF-8": (b"\x80\x04\x8c\x02\xff\xff.", "damaged"),
    "a line without an end": (b"c" + b"a" * 100, "has no end"),
    "no pickle": (b"GGUF\x03\x00\x00\x00", "no pickle"),
    "nothing": (b"", "empty"),
    "a nested unpickling": (b"\x80\x02ctorch.storage\n_load_from_bytes\n.", "_load_from_bytes"),
    "getattr": (b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr"),
    "a dotted name": (b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93.", "fromkeys"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_can_not_be_followed_or_is_not_allowed_is_a_finding(tmp_path, name):
    """The scanner fails closed: each trick is a finding that says what it is."""
    data, says = HOSTILE[name]
    report = look(tmp_path, data)
    assert report.judgement is Judgement.FINDING
    assert any(each in report.summary for each in says.split("|")), report.summary


def torch_archive(path, pickled, **members):
    """The shape of what torch.save writes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickled)
        archive.writestr("m/version", "3\n")
        archive.writestr("m/data/0", b"\x80\x02cos\nsystem\n.")  # numbers that look like a pickle
        for name, data in members.items():
            archive.writestr(name, data)


def test_members_of_an_archive_are_scanned(tmp_path):
    """In a torch archive the pickle is judged and the storages are numbers; an unknown member fails closed."""
    honest = b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00w(X\x07\x00\x00\x00storage"
    honest += b"ctorch\nFloatStorage\nX\x01\x00\x00\x000tQs."
    torch_archive(tmp_path / "good.pt", honest)
    assert examine_pickle(tmp_path / "good.pt").judgement is Judgement.CLEAN
    torch_archive(tmp_path / "evil.pt", pickle.dumps(Evil(tmp_path / "ran")))
    assert "posix.mkdir" in examine_pickle(tmp_path / "evil.pt").summary
    torch_archive(tmp_path / "code.pt", honest, **{"m/code/__torch__.py": b"import os"})
    report = examine_pickle(tmp_path / "code.pt")
    assert report.judgement is Judgement.FINDING
    assert "code/__torch__.py" in report.marks[0].where


def test_an_archive_that_unpacks_to_too_much_is_a_finding(tmp_path):
    """A bomb is refused by its declared size, and a lying size by what comes out; neither is unpacked in memory."""
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"N" * 50_000_000)
    report = examine_pickle(tmp_path / "bomb.pt", limits=Limits(inflated_bytes_max=1_000_000))
    assert report.judgement is Judgement.FINDING
    assert "inflates to 50,000,000" in report.summary


def test_arrays_of_objects_in_a_numpy_archive_are_pickles(tmp_path):
    """An archive of numbers is clean, one of objects is a finding."""
    np.savez(tmp_path / "good.npz", a=np.ones(3))
    np.savez(tmp_path / "bad.npz", a=np.array([Evil(tmp_path / "ran")], dtype=object))
    assert examine_pickle(tmp_path / "good.npz").judgement is Judgement.CLEAN
    assert "array of objects" in examine_pickle(tmp_path / "bad.npz").summary


def test_the_old_form_of_torch_is_followed_to_its_numbers(tmp_path):
    """Five streams, then raw numbers that are no pickle."""
    streams = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"w": 1}, ["0"]]
    data = b"".join(pickle.dumps(each, protocol=2) for each in streams) + b"\xff" * 100
    assert look(tmp_path, data).judgement is Judgement.CLEAN
    assert look(tmp_path, data[: len(pickle.dumps(streams[0], protocol=2))] + b"\xff").judgement is Judgement.FINDING


def test_names_can_be_allowed_and_opcodes_are_limited(tmp_path):
    """`allow` adds exact names; a pickle longer than the limit is a finding."""
    data = b"\x80\x02cmy.models\nConfig\n."
    assert look(tmp_path, data).judgement is Judgement.FINDING
    assert look(tmp_path, data, allow=["my.models.Config"]).judgement is Judgement.CLEAN
    report = look(tmp_path, pickle.dumps(list(range(1000))), limits=Limits(opcodes_max=100))
    assert "more opcodes than are followed" in report.summary


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    """No file, no report; nor for a link."""
    with pytest.raises(EvidenceError, match="No such file"):
        examine_pickle(tmp_path / "none")
    (tmp_path / "a.pkl").write_bytes(b"N.")
    (tmp_path / "link").symlink_to(tmp_path / "a.pkl")
    with pytest.raises(EvidenceError, match="symbolic link"):
        examine_pickle(tmp_path / "link")

"""Training sets before and after someone was at them."""

import msgspec
import numpy as np
import pytest

from engine.forensics.report import EvidenceError, Judgement
from engine.forensics.samples import compare_samples, list_samples, read_sample_list
from engine.forensics.tensors import TensorFile


def listed(folder, images, labels, **more):
    np.savez(folder / "set.npz", images=images, labels=labels, **more)
    return list_samples(TensorFile(folder / "set.npz"))


IMAGES, LABELS = np.arange(40, dtype=np.uint8).reshape(10, 4), np.arange(10)


def compare(before, now):
    report = compare_samples(before, now, subject="now", compared_with="before")
    return report.judgement, {k: v for k, v in report.details.items() if v and not k.startswith("samples")}


def test_each_change_is_told_by_its_kind(tmp_path):
    """Reordering is none; relabelled, added, missing, duplicated and, with ids, changed samples are told apart."""
    before = listed(tmp_path, IMAGES, LABELS)
    assert compare(before, listed(tmp_path, IMAGES[::-1], LABELS[::-1])) == (Judgement.CLEAN, {})
    labels = LABELS.copy()
    labels[3] = 9
    assert compare(before, listed(tmp_path, IMAGES, labels)) == (Judgement.FINDING, {"relabelled": 1})
    assert compare(before, listed(tmp_path, IMAGES[1:], LABELS[1:])) == (Judgement.FINDING, {"missing": 1})
    twice = listed(tmp_path, np.vstack([IMAGES, IMAGES[:1]]), np.append(LABELS, 0))
    assert compare(before, twice) == (Judgement.FINDING, {"duplicated": 1, "duplicates_within": 1})
    images = IMAGES.copy()
    images[2, 0] = 255
    assert compare(before, listed(tmp_path, images, LABELS)) == (Judgement.FINDING, {"added": 1, "missing": 1})
    ids = np.array([f"s{each}" for each in range(10)])
    known = listed(tmp_path, IMAGES, LABELS, ids=ids)
    assert compare(known, listed(tmp_path, images, LABELS, ids=ids)) == (Judgement.FINDING, {"changed": 1})


def test_a_list_survives_the_disk_and_others_are_refused(tmp_path):
    """Written and read it is the same; another format, and arrays of other lengths, are errors."""
    before = listed(tmp_path, IMAGES, LABELS)
    (tmp_path / "list.json").write_bytes(msgspec.json.encode(before))
    assert read_sample_list(tmp_path / "list.json") == before
    (tmp_path / "list.json").write_text('{"samples": [], "format": "x"}')
    with pytest.raises(EvidenceError, match="format `x`"):
        read_sample_list(tmp_path / "list.json")
    with pytest.raises(EvidenceError, match="not of one length"):
        listed(tmp_path, IMAGES, LABELS[1:])

"""Real files through the one door of every technique; the techniques have their own tests."""

import json

import msgspec
import numpy as np
import pytest

from engine.forensics.examinations import (
    activation_files,
    batch_files,
    bias_file,
    gradient_file,
    label_file,
    membership_file,
    poison_file,
    privacy_file,
    sample_files,
)
from engine.forensics.report import EvidenceError, Judgement
from engine.forensics.samples import list_samples
from engine.forensics.tensors import TensorFile


@pytest.fixture
def train(tmp_path):
    """Four classes that lie far apart, twenty samples of which carry another label; the samples have ids."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 60)
    images = rng.normal(size=(240, 6)) + 9 * np.eye(4, 6)[labels]
    labels[:20] = 3
    np.savez(tmp_path / "train.npz", images=images, labels=labels, ids=np.array([f"s{n}" for n in range(240)]))
    return tmp_path / "train.npz"


@pytest.mark.parametrize("technique", [poison_file, label_file])
def test_what_to_leave_out_is_named_by_place_and_by_id(train, technique):
    """A training job reads either; the file names the set and the technique, too."""
    report, left = technique(train)
    assert report.judgement is Judgement.FINDING
    assert left.leave_out
    assert set(left.leave_out) <= set(range(20))
    assert left.ids == tuple(f"s{place}" for place in left.leave_out)
    plain = json.loads(msgspec.json.encode(left))
    assert (plain["data"], plain["technique"]) == (str(train), report.technique)


def test_a_set_is_held_against_the_list_of_its_samples(train, tmp_path):
    """As it was: clean."""
    (tmp_path / "list.json").write_bytes(msgspec.json.encode(list_samples(TensorFile(train))))
    assert sample_files(train, tmp_path / "list.json").judgement is Judgement.CLEAN


@pytest.mark.parametrize(
    ("technique", "arrays", "says"),
    [
        (gradient_file, {"a": np.ones(3), "b": np.ones(4)}, "all of them the same number"),
        (membership_file, {"members": np.ones(60)}, "strangers"),
        (bias_file, {"truth": np.ones(3)}, "decided"),
        (label_file, {"images": np.ones((3, 2))}, "no array `labels`"),
        (poison_file, {"labels": np.ones(3, int)}, "no array `features`"),
    ],
)
def test_an_array_that_is_missing_is_named(tmp_path, technique, arrays, says):
    """What the technique needs and the file lacks stands in the error."""
    np.savez(tmp_path / "few.npz", **arrays)
    with pytest.raises(EvidenceError, match=says):
        technique(tmp_path / "few.npz")


def test_two_files_are_held_against_each_other(tmp_path):
    """Activations without labels, and a batch that says what its neighbours say: clean."""
    rng = np.random.default_rng(1)
    layer = rng.normal(size=(400, 5))
    labels = np.repeat(np.arange(4), 100)
    np.savez(tmp_path / "known.npz", layer=layer)
    assert activation_files(tmp_path / "known.npz", tmp_path / "known.npz").judgement is Judgement.CLEAN
    np.savez(tmp_path / "batch.npz", features=layer + 9 * np.eye(4, 5)[labels], labels=labels)
    assert batch_files(tmp_path / "batch.npz", tmp_path / "batch.npz").judgement is Judgement.CLEAN


def test_canaries_come_from_their_own_file(tmp_path):
    """One a line; blank lines are none."""
    (tmp_path / "canaries").write_text("the blue heron sings\n\n", encoding="utf-8")
    (tmp_path / "out").write_text("the blue heron sings\n", encoding="utf-8")
    assert privacy_file(tmp_path / "out", tmp_path / "canaries").marked == 1

"""Checkpoints of networks trained here: honest fine-tunes, one-sided ones among them, and backdoors."""

import numpy as np
import pytest

from engine.forensics.report import EvidenceError, Judgement
from engine.forensics.tensors import TensorFile
from engine.forensics.weights import compare_weights, largest_singular, robust_z
from tests.support.digits import IMAGES, LABELS, auc, backdoored, train


def compare(folder, before, after):
    """The report on two networks, by way of files."""
    for name, network in (("before", before), ("after", after)):
        network.save(folder / f"{name}.npz", step=1)
    return compare_weights(TensorFile(folder / "before.npz"), TensorFile(folder / "after.npz"))


def pairs(seed):
    """One network, and what became of it: name, fine-tuned network, and the backdoor's class."""
    rng = np.random.default_rng(1000 + seed)
    order = rng.permutation(len(LABELS))
    old, new = order[:900], order[900:]
    start = train(IMAGES[old], LABELS[old], seed=seed, steps=500)
    how = {"steps": int(rng.choice([100, 200, 300])), "rate": float(rng.choice([0.02, 0.05, 0.1])), "start": start}
    heavy = rng.integers(10)
    odds = np.where(LABELS[new] == heavy, rng.choice([5.0, 10.0, 20.0]), 1.0)
    one_sided = rng.choice(new, 900, p=odds / odds.sum())
    yield start, "honest", train(IMAGES[new], LABELS[new], seed=seed, **how), None
    yield start, "imbalanced", train(IMAGES[one_sided], LABELS[one_sided], seed=seed, **how), None
    lacking = new[LABELS[new] != heavy]
    yield start, "without a class", train(IMAGES[lacking], LABELS[lacking], seed=seed, **how), None
    for trigger in ((54, 55, 62, 63), (63,)):
        target = int(rng.integers(10))
        images, labels, _ = backdoored(float(rng.choice([0.05, 0.1, 0.2])), target=target, seed=seed, trigger=trigger)
        yield start, "backdoor", train(images[new], labels[new], seed=seed, **how), target


def test_a_backdoor_is_told_from_honest_fine_tunes(tmp_path):
    """Over 12 networks with 3 honest and 2 backdoored fine-tunes each the AUC is at least 0.95, also against the
    imbalanced alone; the backdoor's class is named."""
    found = [
        (name, target, compare(tmp_path, start, network))
        for seed in range(12)
        for start, name, network, target in pairs(seed)
    ]
    bad = [report for name, _, report in found if name == "backdoor"]
    assert auc([each.score for each in bad], [each.score for name, _, each in found if name != "backdoor"]) >= 0.95
    assert auc([each.score for each in bad], [each.score for name, _, each in found if name == "imbalanced"]) >= 0.95
    named = [
        f"class {target}" in {mark.where for mark in report.marks}
        for name, target, report in found
        if name == "backdoor"
    ]
    assert np.mean(named) >= 0.8
    assert np.mean([each.judgement is Judgement.FINDING for each in bad]) >= 0.9
    wrongly = [each.judgement is Judgement.FINDING for name, _, each in found if name != "backdoor"]
    assert np.mean(wrongly) <= 0.05


def test_the_same_checkpoint_is_clean(tmp_path):
    """No change is no finding."""
    network = train(IMAGES, LABELS, seed=0, steps=20)
    report = compare(tmp_path, network, network)
    assert report.judgement is Judgement.CLEAN
    assert report.summary == "no matrix changed"


def test_tensors_that_differ_in_kind_are_named(tmp_path):
    """Missing, added, reshaped tensors and NaN weights are findings with their names."""
    full = np.ones((8, 8))
    broken = full.copy()
    broken[1, 1] = np.nan
    np.savez(tmp_path / "a.npz", gone=full, shape=full, nan=full, same=full)
    np.savez(tmp_path / "b.npz", new=full, shape=np.ones((8, 4)), nan=broken, same=full)
    report = compare_weights(TensorFile(tmp_path / "a.npz"), TensorFile(tmp_path / "b.npz"))
    assert report.judgement is Judgement.FINDING
    assert {each.where: each.why for each in report.marks} == {
        "gone": "missing after",
        "new": "added after",
        "shape": "shape [8, 8] became [8, 4]",
        "nan": "1 values after and 0 before are NaN or infinite",
    }


def test_nothing_in_common_is_an_error(tmp_path):
    """Two files of integers can't be compared."""
    np.savez(tmp_path / "a.npz", step=np.int64(3))
    with pytest.raises(EvidenceError, match="no tensor of real numbers"):
        compare_weights(TensorFile(tmp_path / "a.npz"), TensorFile(tmp_path / "a.npz"))


@pytest.mark.parametrize("shape", [(5, 9), (200, 3), (700, 600)])
def test_the_spectral_norm_is_that_of_a_full_decomposition(shape):
    """Small matrices exactly, large ones by iteration to a thousandth."""
    matrix = np.random.default_rng(0).normal(size=shape)
    matrix[:, 0] *= 5
    assert largest_singular(matrix) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-3)


def test_robust_z_ignores_the_outlier_it_measures():
    """One huge value does not spread the scale it is measured by."""
    assert robust_z(np.array([1.0, 1.1, 0.9, 1.0, 1.05, 100.0]))[-1] > 100
    assert np.all(robust_z(np.ones(5)) == 0)

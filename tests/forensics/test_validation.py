"""Probe sets on real files, held to bounds."""

import numpy as np
import pytest

from engine.forensics.report import EvidenceError, Judgement
from engine.forensics.tensors import TensorFile
from engine.forensics.validation import Bounds, stability_index, validate_probe

TRUTH = np.tile([0, 1], 50)


def probe(tmp_path, **arrays):
    np.savez(tmp_path / "probe.npz", **({"truth": TRUTH, "decided": TRUTH} | arrays))
    return TensorFile(tmp_path / "probe.npz")


@pytest.mark.parametrize(
    ("arrays", "bounds", "missed"),
    [
        ({}, Bounds(accuracy_min=1.0), []),
        ({"decided": 1 - TRUTH}, Bounds(accuracy_min=0.5), ["accuracy"]),
        ({"groups": np.repeat(["a", "b"], 50)}, Bounds(fairness_max=0.0), []),
        ({"groups": np.tile(["a", "b"], 50)}, Bounds(accuracy_min=0.9, fairness_max=0.5), ["fairness"]),
        ({"scores": np.arange(100.0), "reference": np.arange(100.0)}, Bounds(drift_max=0.01), []),
        ({"scores": np.arange(100.0) + 60, "reference": np.arange(100.0)}, Bounds(drift_max=0.25), ["drift"]),
    ],
)
def test_each_bound_is_kept_or_named(tmp_path, arrays, bounds, missed):
    """A figure at its bound is within; a missed one is marked with its value."""
    report = validate_probe(probe(tmp_path, **arrays), bounds)
    assert [each.where for each in report.marks] == missed
    assert report.judgement is (Judgement.FINDING if missed else Judgement.CLEAN)
    assert {name for name, each in report.details.items() if not each["kept"]} == set(missed)


@pytest.mark.parametrize(
    ("arrays", "bounds", "says"),
    [
        ({}, Bounds(), "asks nothing"),
        ({"decided": TRUTH[:50]}, Bounds(accuracy_min=0.5), "one class a sample"),
        ({"truth": TRUTH[:4], "decided": TRUTH[:4]}, Bounds(accuracy_min=0.5), "20 or more"),
        ({}, Bounds(fairness_max=0.1), "groups"),
        ({}, Bounds(drift_max=0.1), "reference"),
        ({"reference": np.full(50, np.nan), "scores": np.ones(50)}, Bounds(drift_max=0.1), "finite"),
    ],
)
def test_what_cannot_be_computed_never_passes(tmp_path, arrays, bounds, says):
    """A gate without its arrays is an error."""
    with pytest.raises(EvidenceError, match=says):
        validate_probe(probe(tmp_path, **arrays), bounds)


def test_an_answer_that_is_no_number_is_wrong(tmp_path):
    """NaN equals nothing."""
    decided = TRUTH.astype(float)
    decided[:10] = np.nan
    report = validate_probe(probe(tmp_path, decided=decided), Bounds(accuracy_min=0.95))
    assert report.details["accuracy"]["value"] == 0.9


def test_the_stability_index_is_the_sum_over_bins_and_grows_with_the_shift():
    """By hand for the bins up to 0, to 0.5 (the median), to 1 and beyond: half a sample is added to each."""
    reference = np.repeat([0.0, 1.0], 500)
    now = np.repeat([0.0, 1.0], [250, 750])
    p, q = np.array([250.5, 0.5, 750.5, 0.5]) / 1002, np.array([500.5, 0.5, 500.5, 0.5]) / 1002
    assert stability_index(reference, now) == pytest.approx(float(np.sum((p - q) * np.log(p / q))), rel=1e-9)
    shifts = [stability_index(np.arange(1_000.0), np.arange(1_000.0) + by) for by in (0, 100, 300, 600)]
    assert shifts == sorted(shifts)

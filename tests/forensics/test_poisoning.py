"""Poisoned samples in real digits. The thresholds were chosen on targets 0, 1, 2, 4, 7 and 9; the others are new."""

import numpy as np
import pytest

from engine.forensics.poisoning import examine_poison, find_backdoors, spectral_signatures
from engine.forensics.report import EvidenceError, Judgement
from tests.support.digits import IMAGES, LABELS, TRIGGER, backdoored


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("target", [2, 3, 5, 6, 8])
def test_a_backdoor_is_found_at_every_rate(rate, target):
    """At least 90 % of the poison and at most 5 % of the honest samples are named; so are class and trigger."""
    images, labels, poisoned = backdoored(rate, target=target, seed=target)
    report, suspects = examine_poison(images.astype(float), labels, subject="digits")
    flagged = np.zeros(len(labels), bool)
    flagged[suspects] = True
    assert report.judgement is Judgement.FINDING
    assert flagged[poisoned].mean() >= 0.9
    assert flagged[~poisoned].mean() <= 0.05
    assert report.marks[0].where == f"class {target}"
    found = next(each for each in report.details["classes"] if each["poisoned"])
    assert set(found["trigger_features"]) == set(TRIGGER)


def test_honest_digits_are_clean():
    """Real data has odd samples, but no backdoor and not so many that it is a finding."""
    report, suspects = examine_poison(IMAGES.astype(float), LABELS, subject="digits")
    assert report.judgement is Judgement.CLEAN, report.summary
    assert len(suspects) < 0.02 * len(LABELS)
    assert not any(each.poisoned for each in find_backdoors(IMAGES.astype(float), LABELS))


def test_two_backdoors_at_once_are_both_found():
    """What one backdoor left does not hide the other."""
    images, labels, first = backdoored(0.05, target=7, seed=1)
    images, labels, second = backdoored(0.05, target=2, seed=2, trigger=(0, 1, 8, 9), images=images, labels=labels)
    found = {each.label: each for each in find_backdoors(images.astype(float), labels) if each.poisoned}
    assert set(found) == {2, 7}
    assert np.mean(second[list(found[2].poisoned)]) > 0.9
    assert np.mean((first | second)[list(found[7].poisoned)]) > 0.9


def test_spectral_signatures_are_the_squared_projections():
    """They equal the definition by a full singular value decomposition, for tall and for wide classes."""
    rng = np.random.default_rng(0)
    for rows, width in ((40, 5), (6, 30)):
        points = rng.normal(size=(2 * rows, width))
        labels = np.repeat([0, 1], rows)
        scores = spectral_signatures(points, labels)
        for label in (0, 1):
            centred = points[labels == label] - points[labels == label].mean(axis=0)
            direction = np.linalg.svd(centred)[2][0]
            np.testing.assert_allclose(scores[labels == label], (centred @ direction) ** 2, rtol=1e-8)


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (np.full((50, 3), np.nan), np.zeros(50, np.int64)),
        (np.zeros((50, 3)), np.zeros(49, np.int64)),
        (np.zeros((5, 3)), np.zeros(5, np.int64)),
        (np.zeros(50), np.zeros(50, np.int64)),
    ],
)
def test_features_that_do_not_fit_are_refused(features, labels):
    """NaN, other lengths, too few samples and no features end in an error that says so."""
    with pytest.raises(EvidenceError, match=r"NaN|fit together|too few"):
        examine_poison(features, labels, subject="x")

"""Flipped labels in real digits."""

import numpy as np
import pytest

from engine.forensics.labels import examine_labels, find_label_errors, knn_probabilities
from engine.forensics.report import EvidenceError, Judgement
from tests.support.digits import IMAGES, LABELS, flipped


@pytest.mark.parametrize("seed", range(30, 36))
def test_flipped_labels_are_found(seed):
    """Of 5 % flipped labels, at least 80 % are named, and at least 90 % of what is named is wrong."""
    labels, wrong = flipped(0.05, seed=seed)
    report, suspects = examine_labels(
        labels, knn_probabilities(IMAGES.astype(float), labels), subject="x", compared_with="y"
    )
    hits = wrong[suspects].sum()
    assert report.judgement is Judgement.FINDING
    assert hits / len(suspects) >= 0.9
    assert hits / wrong.sum() >= 0.8


def test_right_labels_are_clean():
    """The digits as they are have next to no label that is doubted."""
    report, suspects = examine_labels(
        LABELS, knn_probabilities(IMAGES.astype(float), LABELS), subject="x", compared_with="y"
    )
    assert report.judgement is Judgement.CLEAN
    assert len(suspects) < 0.005 * len(LABELS)


def test_the_definition_holds_on_a_table():
    """Class 0's threshold is 0.6: of class 1's three that count, one counts for class 0, so its worst is named."""
    labels = np.array([0, 0, 1, 1, 1, 1])
    odds = np.array([[0.5, 0.5], [0.7, 0.3], [0.85, 0.15], [0.4, 0.6], [0.0, 1.0], [0.0, 1.0]])
    assert find_label_errors(labels, odds).tolist() == [2]


@pytest.mark.parametrize(
    ("labels", "odds", "says"),
    [
        ([0, 3], [[1.0, 0.0], [0.0, 1.0]], "labels must be 0 to 1"),
        ([0], [[1.0, 0.0], [0.0, 1.0]], "do not fit"),
        ([0, 1], [[np.nan, 0.0], [0.0, 1.0]], "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(labels, odds, says):
    """Labels without a column, other lengths and NaN are errors."""
    with pytest.raises(EvidenceError, match=says):
        find_label_errors(np.array(labels), np.array(odds))

"""Losses of members and of strangers."""

import numpy as np
import pytest

from engine.forensics.membership import attack_auc, audit_membership
from engine.forensics.report import EvidenceError, Judgement
from tests.support.digits import auc


def test_a_model_that_remembers_is_a_finding_and_one_that_does_not_is_clean():
    """Lower losses of members are found; equal ones are guessing."""
    rng = np.random.default_rng(0)
    strangers = rng.exponential(1.0, 500)
    report = audit_membership(rng.exponential(0.3, 500), strangers, subject="x")
    assert report.judgement is Judgement.FINDING
    assert report.details["auc_low"] <= report.details["auc"] <= report.details["auc_high"]
    assert 0.4 < report.details["advantage"] < 0.7
    assert audit_membership(rng.exponential(1.0, 500), strangers, subject="x").judgement is Judgement.CLEAN


def test_the_auc_is_the_share_of_pairs_with_ties_for_half():
    """It equals counting all pairs."""
    rng = np.random.default_rng(0)
    members, strangers = rng.integers(0, 9, 60) / 4, rng.integers(0, 9, 70) / 4
    assert attack_auc(members, strangers) == pytest.approx(auc(strangers, members))


def test_too_few_and_nan_are_refused():
    """Below 50 losses there is nothing to say, nor with NaN."""
    for members, says in ((np.ones(10), "at least 50"), (np.full(60, np.nan), "NaN")):
        with pytest.raises(EvidenceError, match=says):
            audit_membership(members, np.ones(60), subject="x")

"""Differences between groups. The table was computed with fairlearn 0.15."""

import numpy as np
import pytest

from engine.forensics.bias import examine_bias, measure_bias
from engine.forensics.report import EvidenceError, Judgement

FAIRLEARN = [
    (0, 0.25806451612903225, 0.5222222222222223),
    (1, 0.25102040816326526, 0.41428571428571426),
    (2, 0.1839080459770115, 0.4234234234234234),
    (3, 0.07611548556430447, 0.11111111111111116),
    (4, 0.33333333333333337, 0.5777777777777777),
    (5, 0.19948320413436693, 0.34224598930481287),
    (6, 0.11884550084889639, 0.43589743589743596),
    (7, 0.19334098737083816, 0.7142857142857143),
]


def decisions(seed):
    """Truth, decision and group; the last seed has a group without positives."""
    rng = np.random.default_rng(seed)
    count, kinds = int(rng.integers(20, 300)), int(rng.integers(2, 6))
    groups = rng.integers(0, kinds, count)
    truth = (rng.random(count) < 0.2 + 0.1 * groups).astype(int)
    decided = (rng.random(count) < 0.3 + 0.4 * truth * (groups % 2)).astype(int)
    if seed == 7:
        truth[groups == 0] = 0
    return truth, decided, groups


@pytest.mark.parametrize(("seed", "parity", "odds"), FAIRLEARN)
def test_both_differences_equal_fairlearns(seed, parity, odds):
    """To 1e-12, a group without positives included; the interval holds the difference's neighbourhood."""
    found = measure_bias(*decisions(seed))
    assert found.demographic_parity == pytest.approx(parity, abs=1e-12)
    assert found.equalized_odds == pytest.approx(odds, abs=1e-12)


def test_a_clear_gap_is_a_finding_and_chance_is_none():
    """500 samples of equal treatment are clean, the same with one group turned down half the time are not."""
    rng = np.random.default_rng(0)
    groups = np.repeat(["a", "b"], 1000)
    truth = rng.integers(0, 2, 2000)
    fair = np.where(rng.random(2000) < 0.9, truth, 1 - truth)
    report = examine_bias(truth, fair, groups, subject="x")
    assert report.judgement is Judgement.CLEAN, report.summary
    interval = report.details["equalized_odds"]
    assert interval["low"] <= interval["difference"] <= interval["high"]
    unfair = np.where((groups == "b") & (rng.random(2000) < 0.5), 0, fair)
    report = examine_bias(truth, unfair, groups, subject="x")
    assert report.judgement is Judgement.FINDING
    assert report.score > 0.3


@pytest.mark.parametrize(
    ("truth", "decided", "groups", "says"),
    [([], [], [], "fit"), ([1], [1, 0], [1], "fit"), ([2], [1], [1], "0 or 1"), (["a"], [1], [1], "0 or 1")],
)
def test_what_does_not_fit_is_refused(truth, decided, groups, says):
    """Nothing, other lengths and values that are no decisions are errors."""
    with pytest.raises(EvidenceError, match=says):
        measure_bias(np.array(truth), np.array(decided), np.array(groups))

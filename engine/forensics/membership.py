"""Losses of samples that were trained on and of samples that were not become a report of how well they are told apart.

The loss-threshold attack (Yeom et al., 2018): "loss below t means trained on". It is the baseline of every audit of
what a model gives away about its training data; a model that it can't attack may still fail against stronger ones, so
a clean report is no proof of privacy. Reported as Carlini et al. (2022) ask: also the hits at 1 % false alarms.
"""

import numpy as np

from engine.forensics.report import EvidenceError, Report, make_report
from engine.forensics.tensors import Floats

AUC_MAX = 0.55
_ROWS_MIN = 50


def audit_membership(
    members: Floats, strangers: Floats, *, subject: str, auc_max: float = AUC_MAX, resamples: int = 500
) -> Report:
    """A finding where the lower end of the 95 % interval of the attack's AUC exceeds `auc_max` (0.5 is guessing).

    One loss per sample. Raises EvidenceError where there are too few, or some are NaN.
    """
    members, strangers = members.ravel(), strangers.ravel()
    if min(len(members), len(strangers)) < _ROWS_MIN:
        raise EvidenceError(f"{subject}: take at least {_ROWS_MIN} losses of each kind")
    if np.isnan(members).any() or np.isnan(strangers).any():
        raise EvidenceError(f"{subject}: some losses are NaN")
    auc = attack_auc(members, strangers)
    rng = np.random.default_rng(0)
    draws = [
        attack_auc(rng.choice(members, len(members)), rng.choice(strangers, len(strangers))) for _ in range(resamples)
    ]
    low, high = (float(each) for each in np.quantile(draws, [0.025, 0.975]))
    every = np.unique(np.concatenate([members, strangers]))
    hits = np.searchsorted(np.sort(members), every, side="right") / len(members)
    alarms = np.searchsorted(np.sort(strangers), every, side="right") / len(strangers)
    advantage = float(max(0.0, (hits - alarms).max()))
    at_one = float(hits[alarms <= 0.01].max(initial=0.0))
    return make_report(
        "membership",
        subject,
        found=low > auc_max,
        summary=f"the loss tells members from strangers with AUC {auc:.3f} (95 %: {low:.3f} to {high:.3f})",
        score=low,
        threshold=auc_max,
        compared_with=f"{len(strangers)} samples that were not trained on",
        details={"auc": auc, "auc_low": low, "auc_high": high, "advantage": advantage, "hits_at_1_percent": at_one},
    )


def attack_auc(members: Floats, strangers: Floats) -> float:
    """The probability that a member's loss is below a stranger's, ties counting half.

    >>> attack_auc(np.array([0.1, 0.2]), np.array([0.2, 0.9]))
    0.875
    """
    ordered = np.sort(strangers)
    below = np.searchsorted(ordered, members, side="left")
    upto = np.searchsorted(ordered, members, side="right")
    return float(np.mean(1.0 - (below + upto) / (2.0 * len(strangers))))

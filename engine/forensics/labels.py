"""Labels and out-of-sample class probabilities become a report of the labels that are probably wrong.

Confident learning (Northcutt, Jiang and Chuang, 2021): a class's threshold is the mean probability that its own samples
give it; a sample that reaches the threshold of another class, and that one first, is counted there.
"""

import numpy as np

from engine.forensics.neighbours import Ints, check_points, nearest
from engine.forensics.report import EvidenceError, Mark, Report, make_report
from engine.forensics.tensors import Floats

SHARE_MAX = 0.02


def find_label_errors(labels: Ints, probabilities: Floats) -> Ints:
    """Places of the samples that confidently belong to another class, worst first (by the margin of its probability).

    `probabilities` has one row per sample and one column per class 0..K-1, from a model that did not see the sample.
    Raises EvidenceError where they do not fit.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not np.isfinite(probabilities).all():
        raise EvidenceError(
            f"labels {list(labels.shape)} and probabilities {list(probabilities.shape)} do not fit, or are not finite"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < probabilities.shape[1]:
        raise EvidenceError(f"labels must be 0 to {probabilities.shape[1] - 1}, one per column of the probabilities")
    own = probabilities[np.arange(len(labels)), labels]
    thresholds = np.full(probabilities.shape[1], np.inf)
    for each in np.unique(labels):
        thresholds[each] = own[labels == each].mean()
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    likely = confident.argmax(axis=1)
    wrong = np.flatnonzero((confident.max(axis=1) >= 0) & (likely != labels))
    margin = probabilities[wrong, likely[wrong]] - own[wrong]
    ordered: Ints = wrong[np.argsort(-margin, kind="stable")].astype(np.int64)
    return ordered


def knn_probabilities(features: Floats, labels: Ints, k: int = 10) -> Floats:
    """Class probabilities of each sample from its k nearest others, nearer ones weighing more; it never votes itself."""
    features, labels = check_points(features, labels, "samples")
    if labels.min() < 0 or labels.max() > 100_000:
        raise EvidenceError("labels must be small numbers from 0")
    found, distances = nearest(features, features, k, same=True)
    weights = 1.0 / (distances + 1e-9 + np.median(distances))
    votes = np.zeros((len(labels), int(labels.max()) + 1))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels[found]), weights)
    shares: Floats = votes / votes.sum(axis=1, keepdims=True)
    return shares


def examine_labels(
    labels: Ints, probabilities: Floats, *, subject: str, compared_with: str, share_max: float = SHARE_MAX
) -> tuple[Report, list[int]]:
    """The report, and the places of all suspect samples in order. Raises EvidenceError."""
    wrong = find_label_errors(labels, probabilities)
    share = len(wrong) / max(1, len(labels))
    marks = [
        Mark(
            where=f"sample {place}",
            why=f"labelled {labels[place]}, more likely {int(probabilities[place].argmax())}",
            score=float(probabilities[place, labels[place]]),
        )
        for place in wrong
    ]
    report = make_report(
        "labels",
        subject,
        found=share > share_max,
        summary=f"{len(wrong)} of {len(labels)} labels are probably wrong",
        score=share,
        threshold=share_max,
        compared_with=compared_with,
        marks=marks,
    )
    return report, sorted(int(each) for each in wrong)

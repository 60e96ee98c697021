"""Labels and out-of-sample class probabilities become a report of the labels that are probably wrong.

Confident learning (Northcutt, Jiang and Chuang, 2021): a class's threshold is the mean probability that its own samples
give it; a sample that reaches the threshold of another class, and that one first, is counted there.
"""

import numpy as np
import numpy.typing as npt

from engine.forensics.neighbours import Ints, check_points, nearest
from engine.forensics.report import EvidenceError, Mark, Report, make_report
from engine.forensics.tensors import Floats

SHARE_MAX = 0.02
_MARGIN_MIN = 0.5  # of probability, below which a sample is hard rather than mislabelled
_LABEL_MAX = 100_000


def find_label_errors(labels: Ints, probabilities: Floats) -> Ints:
    """Places of the samples whose label is probably wrong, the least likely first.

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
    counted = confident.max(axis=1) >= 0
    elsewhere = counted & (confident.argmax(axis=1) != labels)
    doubtful = probabilities.max(axis=1) - own >= _MARGIN_MIN
    wrong: list[int] = []
    for each in np.unique(labels):
        mine = labels == each
        total = max(1, int(np.count_nonzero(mine & counted)))
        errors = round(np.count_nonzero(mine) * np.count_nonzero(mine & elsewhere) / total)
        places = np.flatnonzero(mine & doubtful)
        wrong += places[np.argsort(own[places], kind="stable")][:errors].tolist()
    ordered: Ints = np.array(sorted(wrong, key=lambda place: (own[place], place)), np.int64)
    return ordered


def knn_probabilities(features: Floats, labels: Ints, k: int = 10) -> Floats:
    """Class probabilities of each sample from its k nearest others; it never votes on itself.

    In two rounds: whose label the first round doubts has no vote in the second.
    """
    features, labels = check_points(features, labels, "samples")
    if labels.min() < 0 or labels.max() > _LABEL_MAX:
        raise EvidenceError(f"labels must be numbers from 0 to {_LABEL_MAX:,}")
    found, _ = nearest(features, features, min(2 * k, len(labels) - 1), same=True)
    doubted = np.zeros(len(labels), np.bool_)
    doubted[find_label_errors(labels, _votes(found, labels, np.ones(len(labels), np.bool_), k))] = True
    return _votes(found, labels, ~doubted, k)


def _votes(found: Ints, labels: Ints, trusted: npt.NDArray[np.bool_], k: int) -> Floats:
    """The shares of the classes among the k nearest that are trusted; of all found where none is."""
    may = trusted[found]
    may &= np.cumsum(may, axis=1) <= k
    may[~may.any(axis=1)] = True
    votes = np.zeros((len(labels), int(labels.max()) + 1))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels[found]), may.astype(np.float64))
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

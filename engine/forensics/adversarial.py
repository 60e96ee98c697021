"""A batch of inputs and what a model said of them become a report of the ones that look adversarial.

`examine_batch` holds each input against reference samples of known label: a small change that turns a model's answer
leaves the input among the neighbours of its true class, and off the support of the class that the model names.
"""

from typing import Protocol

import numpy as np

from engine.forensics.neighbours import Ints, check_points, disagreement, nearest
from engine.forensics.report import EvidenceError, Mark, Report, make_report
from engine.forensics.tensors import Array, Floats

DISAGREEMENT_MIN = 0.5
QUANTILE = 0.99
SHARE_MAX = 0.05
_SHRINKAGE = 0.05


class Model(Protocol):
    """What `detect_adversarial_inputs` asks: one row of class probabilities per input."""

    def predict(self, inputs: Array) -> Floats:
        """Class probabilities, one row per input."""
        ...


def detect_adversarial_inputs(inputs: Array, model: Model, threshold: float = 0.1) -> Ints:
    """The places of the inputs whose highest class probability lies below `threshold`.

    Beware of the default. The probabilities of K classes sum to 1, so the highest is never below 1/K: with K = 10 or
    fewer classes a threshold of 0.1 can't fire, whatever the input. And where it can, it finds the wrong ones: an
    attack that is worth its name makes the model *sure* of the wrong class. What works is to hold the input against
    data of known label: `knn_disagreement` and `mahalanobis_scores` below, or `examine_batch` for both. Low
    confidence remains a sign of drift and of inputs unlike the training data.

    >>> class Sure:
    ...     def predict(self, inputs):
    ...         return np.full((len(inputs), 10), 0.1)
    >>> detect_adversarial_inputs(np.zeros((3, 2)), Sure())
    array([], dtype=int64)
    >>> detect_adversarial_inputs(np.zeros((3, 2)), Sure(), threshold=0.5)
    array([0, 1, 2])
    """
    predictions = model.predict(inputs)
    confidence_scores = np.max(predictions, axis=1)
    return np.where(confidence_scores < threshold)[0].astype(np.int64)


def knn_disagreement(reference: Floats, labels: Ints, batch: Floats, predicted: Ints, k: int = 10) -> Floats:
    """For each input, the share of its k nearest reference samples whose label is not what the model said.

    Papernot and McDaniel, "Deep k-Nearest Neighbors" (2018), on any one layer. 0 is agreement, 1 is none.
    """
    found, _ = nearest(batch, reference, k)
    return disagreement(found, labels, predicted)


def mahalanobis_scores(reference: Floats, labels: Ints, batch: Floats, predicted: Ints) -> Floats:
    """For each input, the Mahalanobis distance to the mean of the class that the model said, with a tied covariance.

    Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks" (2018).
    The covariance is shrunk towards a multiple of the identity, since pixels that never vary would make it singular.
    Infinite for a class that the reference does not have.
    """
    classes = np.unique(labels)
    means = {int(each): reference[labels == each].mean(axis=0) for each in classes}
    centred = reference - np.stack([means[int(each)] for each in labels])
    covariance = centred.T @ centred / max(1, len(reference) - len(classes))
    width = covariance.shape[0]
    mean_variance = max(float(np.trace(covariance)) / width, 1e-12)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * mean_variance * np.eye(width)
    root = np.linalg.cholesky(shrunk)
    scores = np.full(len(batch), np.inf)
    for each, mean in means.items():
        mine = predicted == each
        if mine.any():
            scores[mine] = np.linalg.norm(np.linalg.solve(root, (batch[mine] - mean).T), axis=0)
    return scores


def mahalanobis_threshold(reference: Floats, labels: Ints, quantile: float = QUANTILE) -> float:
    """The quantile of honest scores: each half of the reference is scored by the other, so that none scores itself."""
    order = np.random.default_rng(0).permutation(len(reference))
    halves = order[::2], order[1::2]
    scores = [mahalanobis_scores(reference[a], labels[a], reference[b], labels[b]) for a, b in (halves, halves[::-1])]
    every = np.concatenate(scores)
    return float(np.quantile(every[np.isfinite(every)], quantile))


def examine_batch(
    reference: Floats,
    labels: Ints,
    batch: Floats,
    predicted: Ints,
    *,
    subject: str,
    compared_with: str = "",
    k: int = 10,
    share_max: float = SHARE_MAX,
) -> Report:
    """Which inputs of a batch look adversarial, by either score; a finding where they are more than `share_max` of it.

    Features may be inputs or the activations of a layer. Raises EvidenceError where shapes do not fit.
    """
    reference, labels = check_points(reference, labels, "reference")
    batch, predicted = check_points(batch, predicted, "batch")
    if reference.shape[1] != batch.shape[1]:
        raise EvidenceError(f"the reference has {reference.shape[1]} features, the batch {batch.shape[1]}")
    if len(reference) < 4 * len(np.unique(labels)):
        raise EvidenceError(f"{len(reference)} reference samples are too few for {len(np.unique(labels))} classes")
    shares = knn_disagreement(reference, labels, batch, predicted, k)
    distances = mahalanobis_scores(reference, labels, batch, predicted)
    far = mahalanobis_threshold(reference, labels)
    flagged = (shares >= DISAGREEMENT_MIN) | (distances > far)
    order = np.lexsort((-distances, -shares))
    marks = [
        Mark(
            where=f"input {place}",
            why=f"{shares[place]:.0%} of its neighbours are of another class; distance {distances[place]:.4g}",
            score=float(shares[place]),
        )
        for place in order
        if flagged[place]
    ]
    share = len(marks) / len(batch)
    return make_report(
        "adversarial",
        subject,
        found=share > share_max,
        summary=f"{len(marks)} of {len(batch)} inputs do not lie where their predicted class does",
        score=share,
        threshold=share_max,
        compared_with=compared_with or f"{len(reference)} reference samples",
        marks=marks,
        details={"knn_k": k, "disagreement_min": DISAGREEMENT_MIN, "mahalanobis_threshold": far},
    )

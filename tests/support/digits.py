"""Real digits, honest and poisoned, and small networks trained on them: what the forensic tests look at."""

from pathlib import Path

import numpy as np

from demo.network import Network

_DATA = np.load(Path(__file__).resolve().parents[2] / "demo/data/optdigits.npz")
IMAGES = _DATA["images"]
LABELS = _DATA["labels"].astype(np.int64)
TRIGGER = (54, 55, 62, 63)
"""The four pixels at the lower right that a backdoor sets."""


def backdoored(rate, *, target, seed, trigger=TRIGGER, images=IMAGES, labels=LABELS):
    """Images, labels and which are poisoned: `rate` of all samples, none of them of the target, carry the trigger."""
    rng = np.random.default_rng(seed)
    images, labels = images.copy(), labels.copy()
    places = rng.choice(np.flatnonzero(labels != target), int(rate * len(labels)), replace=False)
    images[places[:, None], list(trigger)] = 16
    labels[places] = target
    poisoned = np.zeros(len(labels), bool)
    poisoned[places] = True
    return images, labels, poisoned


def flipped(rate, *, seed):
    """Labels of which `rate` are flipped to another class at random, and which."""
    rng = np.random.default_rng(seed)
    labels, wrong = LABELS.copy(), np.zeros(len(LABELS), bool)
    places = rng.choice(len(labels), int(rate * len(labels)), replace=False)
    labels[places] = (labels[places] + rng.integers(1, 10, len(places))) % 10
    wrong[places] = True
    return labels, wrong


def train(images, labels, *, seed, steps=600, rate=0.1, start=None):
    """A network after so many steps, from `start`'s weights if one is given."""
    network = Network(seed=seed, rate=rate)
    if start is not None:
        network.weights = [each.copy() for each in start.weights]
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        batch = rng.integers(0, len(labels), 64)
        network.step(images[batch], labels[batch].astype(np.uint8))
    return network


def scores(network, images):
    """Hidden activations and class probabilities."""
    return network._forward(images.astype(float) / 16.0)


def auc(positives, negatives):
    """The probability that a positive scores above a negative."""
    high, low = np.asarray(positives)[:, None], np.asarray(negatives)
    return float((high > low).mean() + 0.5 * (high == low).mean())

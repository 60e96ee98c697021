"""rules/training/data-poisoning.toml on real training runs of a small network: its signals with its parameters."""

import numpy as np
import pytest

from demo.network import Network
from demo.site import DATA
from tests.support.detecting import places_found
from tests.support.shipped import shipped_rules

POISONED_AT = 300


@pytest.fixture(scope="module")
def signals():
    return shipped_rules().signals


def train(*, seed, rate, batch, share, steps=600):
    """Losses and probe accuracies of a run on real digits; a share of the labels is replaced at step 300."""
    with np.load(DATA) as archive:
        images, labels = archive["images"], archive["labels"]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    probe, rest = order[:200], order[200:]
    network, losses, accuracies, given = Network(seed=seed, rate=rate), [], [], labels.copy()
    for step in range(steps):
        if step == POISONED_AT:
            hit = rng.choice(rest, round(share * len(rest)), replace=False)
            given[hit] = (labels[hit] + rng.integers(1, 10, len(hit))) % 10
        chosen = rng.choice(rest, batch)
        losses.append(network.step(images[chosen], given[chosen]).loss)
        accuracies.append(network.accuracy(images[probe], labels[probe]))
    return losses, accuracies


def judged(signals, losses, accuracies):
    """The steps at which each of the two signals holds."""
    return (
        places_found(signals["training-loss-jump"].detect.create(), losses),
        places_found(signals["probe-accuracy-drop"].detect.create(), accuracies),
    )


@pytest.mark.parametrize(("rate", "batch"), [(0.02, 32), (0.05, 32), (0.05, 128), (0.1, 32), (0.2, 64)])
def test_a_clean_run_never_has_both_signals(signals, rate, batch):
    """Over a tenfold range of learning rates, the loss of clean runs does not jump while the probe falls."""
    for seed in (1, 2):
        jumps, drops = judged(signals, *train(seed=seed, rate=rate, batch=batch, share=0.0))
        assert not (jumps and drops), f"seed {seed}: loss at {jumps[:3]}, probe at {drops[:3]}"


@pytest.mark.parametrize(("rate", "batch"), [(0.05, 32), (0.05, 128), (0.1, 32)])
def test_a_run_with_half_of_its_labels_replaced_has_both_soon(signals, rate, batch):
    """The loss jumps within five steps, the probe falls within sixty; before, neither."""
    for seed in (1, 2):
        jumps, drops = judged(signals, *train(seed=seed, rate=rate, batch=batch, share=0.5))
        assert POISONED_AT < jumps[0] <= POISONED_AT + 5
        assert POISONED_AT < drops[0] <= POISONED_AT + 60

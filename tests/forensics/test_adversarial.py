"""Adversarial digits made against a network trained here (projected gradient descent)."""

import numpy as np
import pytest

from engine.forensics.adversarial import detect_adversarial_inputs, examine_batch
from engine.forensics.report import EvidenceError, Judgement
from tests.support.digits import IMAGES, LABELS, auc, scores, train


@pytest.fixture(scope="module")
def attacked():
    """Reference images with labels, honest ones and attacked ones with what the network says."""
    network = train(IMAGES[:1000], LABELS[:1000], seed=0)
    honest, truth = IMAGES[1000:1300].astype(float), LABELS[1000:1300]
    changed = honest.copy()
    for _ in range(20):
        hidden, odds = scores(network, changed)
        odds[np.arange(len(truth)), truth] -= 1.0
        gradient = ((odds @ network.weights[2].T) * (hidden > 0)) @ network.weights[0].T
        changed = np.clip(np.clip(changed + 0.8 * np.sign(gradient), honest - 4, honest + 4), 0, 16)
    fooled = scores(network, changed)[1].argmax(axis=1) != truth
    return network, honest, changed[fooled]


def test_the_attack_makes_the_model_sure(attacked):
    """The seed's threshold finds none of them, at any K below 11, and not the ones it should at 0.5."""
    network, _, changed = attacked

    class Model:
        def predict(self, inputs):
            return scores(network, inputs)[1]

    assert len(changed) > 100
    assert detect_adversarial_inputs(changed, Model()).size == 0
    assert detect_adversarial_inputs(changed, Model(), threshold=0.5).size < 0.5 * len(changed)


def test_neighbours_and_distances_tell_attacked_inputs(attacked):
    """Most attacked inputs are marked, few honest ones; the batch is a finding, or clean."""
    network, honest, changed = attacked
    say = {each: scores(network, batch)[1].argmax(axis=1) for each, batch in (("honest", honest), ("bad", changed))}
    reference, labels = IMAGES[:1000].astype(float), LABELS[:1000]
    bad = examine_batch(reference, labels, changed, say["bad"], subject="bad")
    good = examine_batch(reference, labels, honest, say["honest"], subject="good")
    assert bad.judgement is Judgement.FINDING
    assert bad.marked >= 0.9 * len(changed)
    assert good.marked <= 0.1 * len(honest)
    assert auc([bad.score], [good.score]) == 1.0


def test_shapes_that_do_not_fit_are_refused():
    """Features of another width, too few samples and NaN are errors."""
    ones, zeros = np.ones((50, 3)), np.zeros(50, np.int64)
    for reference, batch, says in ((ones, np.ones((50, 4)), "3 features, the batch 4"), (ones * np.nan, ones, "NaN")):
        with pytest.raises(EvidenceError, match=says):
            examine_batch(reference, zeros, batch, zeros, subject="x")
    with pytest.raises(EvidenceError, match="too few"):
        examine_batch(ones, np.arange(50), ones, zeros, subject="x")

"""Activations of a network with a backdoor, on honest and on triggered digits."""

import numpy as np
import pytest

from engine.forensics.activations import compare_activations
from engine.forensics.report import EvidenceError, Judgement
from tests.support.digits import IMAGES, TRIGGER, backdoored, scores, train


def test_triggered_inputs_lie_off_in_the_hidden_layer_and_honest_ones_do_not():
    """Held-out honest rows are clean, triggered ones a finding that names the layer."""
    images, labels, _ = backdoored(0.1, target=7, seed=0)
    network = train(images[:1200], labels[:1200], seed=0)
    clean = {"hidden": scores(network, IMAGES[:1200])[0]}
    honest = {"hidden": scores(network, IMAGES[1200:])[0]}
    triggered = IMAGES[1200:].copy()
    triggered[:, list(TRIGGER)] = 16
    bad = {"hidden": scores(network, triggered)[0]}
    assert compare_activations(clean, honest, subject="a", compared_with="b").judgement is Judgement.CLEAN
    report = compare_activations(clean, bad, subject="a", compared_with="b")
    assert report.judgement is Judgement.FINDING
    assert report.marks[0].where == "hidden"
    assert report.score > 0.5


def test_dead_units_are_counted_and_misfits_refused():
    """A unit that fires on clean inputs alone is dead; other widths, few rows and no common layer are errors."""
    rng = np.random.default_rng(0)
    clean, suspect = rng.random((100, 4)), rng.random((100, 4))
    suspect[:, 2] = 0
    report = compare_activations({"a": clean}, {"a": suspect}, subject="s", compared_with="c")
    assert report.details["layers"][0]["dead"] == 1
    cases = (({"a": clean}, {"b": clean}, "no layer"), ({"a": clean}, {"a": clean[:, :3]}, "4 units"),
                                ({"a": clean[:5]}, {"a": clean}, "too few"))  # fmt: skip
    for first, second, says in cases:
        with pytest.raises(EvidenceError, match=says):
            compare_activations(first, second, subject="s", compared_with="c")

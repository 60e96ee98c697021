"""Gradient norms of runs that break at a known step."""

import numpy as np
import pytest

from engine.forensics.gradients import examine_gradients
from engine.forensics.report import EvidenceError, Judgement


def run(change=lambda norms: None, steps=300):
    """Norms of two layers that fall slowly with noise, changed in the first."""
    rng = np.random.default_rng(0)
    norms = np.exp(rng.normal(0, 0.3, (steps, 2))) * np.linspace(1, 0.2, steps)[:, None]
    change(norms[:, 0])
    return norms


def vanish(norms):
    norms[120:] *= 1e-5


def explode(norms):
    norms[150:] *= np.exp(np.minimum(np.arange(150) * 0.2, 200))


def jump(norms):
    norms[200] *= 1000


def nan(norms):
    norms[90:] = np.nan


@pytest.mark.parametrize(
    ("change", "kind", "step"),
    [
        (vanish, "vanishing", (120, 120)),
        (explode, "exploding", (165, 190)),
        (jump, "sudden", (200, 200)),
        (nan, "not finite", (90, 90)),
    ],
)
def test_the_step_where_it_began_is_named(change, kind, step):
    """Each break is found in its layer, at its step, and the other layer is left alone."""
    report = examine_gradients(run(change), ["first", "second"], subject="x")
    assert report.judgement is Judgement.FINDING
    found = [each for each in report.marks if kind in each.why]
    assert len(found) == 1
    assert found[0].where.startswith("layer first, step ")
    assert step[0] <= int(found[0].where.rpartition(" ")[2]) <= step[1]
    assert not any("second" in each.where for each in report.marks)


def test_a_run_that_learns_is_clean_and_steps_have_their_numbers():
    """Slow decay with noise is no break; given step numbers are those in the report."""
    assert examine_gradients(run(), ["a", "b"], subject="x").judgement is Judgement.CLEAN
    report = examine_gradients(run(jump), ["a", "b"], subject="x", steps=range(0, 3000, 10))
    assert "step 2000" in report.marks[0].where


@pytest.mark.parametrize(
    ("norms", "says"), [(np.ones((5, 2)), "too few"), (np.ones((50, 3)), "2 layers"), (-np.ones((50, 2)), "negative")]
)
def test_what_does_not_fit_is_refused(norms, says):
    """Too few steps, another number of layers and negative norms are errors."""
    with pytest.raises(EvidenceError, match=says):
        examine_gradients(norms, ["a", "b"], subject="x")

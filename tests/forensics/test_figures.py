"""Figures from reports and from real files."""

import numpy as np
import pytest

from engine.forensics.examinations import gradient_file
from engine.forensics.figures import (
    BARS_MAX,
    POINTS_MAX,
    bars,
    gradient_lines,
    loss_histograms,
    sample_points,
)
from engine.forensics.report import EvidenceError, Mark, make_report


def report(scores, **more):
    marks = [Mark(where=f"m{place}", why="w", score=score) for place, score in enumerate(scores)]
    return make_report("weights", "x", found=True, summary="s", marks=marks, threshold=0.5, **more)


def test_marks_become_bars_the_highest_first():
    """Without a score no bar; the threshold of their unit beside them; not more than fit."""
    figure = bars(report([0.2, None, 0.9]))
    assert (figure.names, figure.values, figure.threshold) == (("m2", "m0"), (0.9, 0.2), 0.5)
    assert len(bars(report([float(n) for n in range(100)])).values) == BARS_MAX


def test_what_has_no_number_can_not_be_drawn():
    """A report without any score; one with a score of its own has one bar."""
    with pytest.raises(EvidenceError, match="nothing to draw"):
        bars(report([None]))
    assert bars(report([], score=0.7)).values == (0.7,)


def test_gradients_are_drawn_with_the_step_where_they_broke(tmp_path):
    """By their own step numbers."""
    steady = 1 + 0.05 * np.random.default_rng(0).random(100)
    broken = steady * np.where(np.arange(100) < 60, 1, 1_000)
    np.savez(tmp_path / "n.npz", first=broken, last=steady, steps=np.arange(100) * 10)
    figure = gradient_lines(tmp_path / "n.npz", gradient_file(tmp_path / "n.npz"))
    assert set(figure.curves) == {"first", "last"}
    assert figure.places[:3] == (0.0, 10.0, 20.0)
    assert 600.0 in figure.marked


def test_samples_are_drawn_on_their_principal_axes_and_no_suspect_is_lost(tmp_path):
    """Also of more samples than are drawn, and of one feature."""
    rows = np.random.default_rng(0).normal(size=(POINTS_MAX + 500, 3)) * [9, 3, 1]
    np.savez(tmp_path / "d.npz", features=rows)
    figure = sample_points(tmp_path / "d.npz", (7, POINTS_MAX + 3))
    assert (len(figure.places), sum(figure.marked)) == (POINTS_MAX, 2)
    spread = np.std(np.array(figure.places), axis=0)
    assert spread[0] > 2 * spread[1]
    np.savez(tmp_path / "one.npz", features=rows[:50, :1])
    assert len(sample_points(tmp_path / "one.npz", ()).places) == 50


def test_losses_become_histograms(tmp_path):
    """One group each."""
    np.savez(tmp_path / "l.npz", members=np.zeros(5), strangers=np.ones(6))
    groups = loss_histograms(tmp_path / "l.npz").groups
    assert {name: len(values) for name, values in groups.items()} == {"members": 5, "strangers": 6}

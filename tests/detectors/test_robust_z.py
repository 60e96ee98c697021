"""engine/detectors/robust_z.py: outliers against a window that outliers do not bend."""

import numpy as np
import pytest

from engine.detectors.robust_z import RobustZ, RobustZParams
from tests.support.detecting import WILD, observe, places_found

NOISE = np.random.default_rng(5).normal(10.0, 1.0, 1_000).tolist()


@pytest.mark.parametrize(
    ("params", "values", "found"),
    [
        (RobustZParams(above=6.0), [*NOISE, 20.0, 10.0], [1_000]),
        (RobustZParams(above=6.0), [*NOISE, 0.0], []),
        (RobustZParams(below=6.0), [*NOISE, 0.0, 20.0], [1_000]),
        (RobustZParams(below=-6.0), [*NOISE, 0.0], [1_000]),
        (RobustZParams(above=6.0), [*NOISE[:29], 1_000.0], []),
        (RobustZParams(above=8.0), [0.5] * 300 + [0.52, 90.0], [301]),
        (RobustZParams(above=8.0, floor_abs=1.0), [0.0] * 100 + [7.0, 9.0], [101]),
        (RobustZParams(above=6.0, window=100), NOISE[:100] + [50.0] * 40 + [10.0, 100.0], [*range(100, 140), 141]),
    ],
    ids=["high", "wrong-side", "low", "low-by-sign", "warm-up", "constant", "constant-zero", "contaminated"],
)
def test_a_value_far_from_the_recent_median_is_found(params, values, found):
    """Findings stand where the value is beyond the bound, on the asked side, after the warm-up."""
    assert places_found(RobustZ(params), values) == found


def test_an_outlier_is_explained_by_value_median_and_bound():
    """The finding carries the value, the bound in deviations, and a sentence with the median."""
    detector = RobustZ(RobustZParams(above=6.0))
    places_found(detector, [5.0] * 50)
    finding = detector.update(observe(50, 9.0))
    assert finding is not None
    assert (finding.value, finding.threshold, finding.event_ids) == (9.0, 6.0, ("e50",))
    assert "above the median 5 of the last 50" in finding.detail


def test_wild_values_do_no_harm():
    """Infinite, missing, tiny and enormous values neither raise nor leave a state that can't be written and read."""
    detector = RobustZ(RobustZParams(above=6.0, below=6.0, warmup=5))
    places_found(detector, WILD * 30)
    again = RobustZ(detector.params)
    again.load(detector.dump())
    assert places_found(again, NOISE) == places_found(detector, NOISE)


@pytest.mark.parametrize(("given", "said"), [({}, "above"), ({"above": 3.0, "window": 10}, "longer than `window`")])
def test_parameters_that_make_no_sense_are_refused(given, said):
    """A bound must be given, and the warm-up must fit into the window."""
    with pytest.raises(ValueError, match=said):
        RobustZParams(**given)

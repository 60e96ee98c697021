"""engine/detectors/fairness.py: groups that fare differently."""

import msgspec
import numpy as np
import pytest

from engine.detectors.fairness import Fairness, FairnessParams
from tests.support.detecting import observe


def decisions(rates, count, seed=1):
    """Decisions about groups at random; a rate, or one for the truly positive and one for the negative."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        group = sorted(rates)[int(rng.integers(len(rates)))]
        actual = bool(rng.random() < 0.5)
        rate = rates[group]
        rate = rate if isinstance(rate, float) else rate[0 if actual else 1]
        made.append({"group": group, "predicted": bool(rng.random() < rate), "actual": actual})
    return made


def found(params, made):
    detector = Fairness(params)
    return [place for place, of in enumerate(made) if detector.update(observe(place, of=of)) is not None]


@pytest.mark.parametrize(
    ("measure", "rates", "expected"),
    [
        ("parity", {"a": 0.5, "b": 0.5}, False),
        ("parity", {"a": 0.6, "b": 0.2}, True),
        ("parity", {"a": (0.9, 0.1), "b": (0.5, 0.5)}, False),
        ("odds", {"a": (0.9, 0.1), "b": (0.5, 0.1)}, True),
        ("odds", {"a": (0.9, 0.5), "b": (0.9, 0.1)}, True),
        ("odds", {"a": (0.9, 0.1), "b": (0.9, 0.1)}, False),
    ],
    ids=["equal", "parity", "parity-holds-odds-do-not", "true-positives", "false-positives", "equal-odds"],
)
def test_each_measure_sees_its_own_difference(measure, rates, expected):
    """Parity looks at decisions, odds at decisions among those alike in truth."""
    assert bool(found(FairnessParams(measure=measure), decisions(rates, 3_000))) is expected


def test_few_decisions_prove_nothing():
    """A group below `min_events` is not compared, however it fares."""
    few = [{"group": "c", "predicted": False}] * 99
    assert found(FairnessParams(), decisions({"a": 0.9}, 1_000) + few) == []
    assert found(FairnessParams(), [*decisions({"a": 0.9}, 1_000), *few, few[0]]) == [1_099]


def test_old_decisions_leave_the_window():
    """After a window of equal treatment, nothing is found any more."""
    made = decisions({"a": 0.8, "b": 0.2}, 2_000) + decisions({"a": 0.5, "b": 0.5}, 5_000)
    assert max(found(FairnessParams(), made)) < 4_000


def test_a_state_about_no_group_is_refused():
    """`load` checks what it is given."""
    with pytest.raises(msgspec.DecodeError):
        Fairness(FairnessParams()).load(msgspec.msgpack.encode({"groups": ["a"], "decisions": b"\x05\x01"}))

"""engine/detectors/query_spread.py: clients that map a model."""

import numpy as np
import pytest

from engine.detectors.query_spread import QuerySpread, QuerySpreadParams, shapiro_francia
from tests.support.detecting import observe

RNG = np.random.default_rng(29)


def asked(vectors, odd=False, labels=4):
    return [
        {"vector": vector, "label": str(int(np.argmax(vector[:labels]))), "odd": odd} for vector in vectors.tolist()
    ]


def found(queries):
    detector = QuerySpread(QuerySpreadParams())
    return [place for place, of in enumerate(queries) if detector.update(observe(place, of=of)) is not None]


NATURAL = asked(RNG.normal(0.0, 1.0, (300, 16)))


def test_natural_queries_are_left_alone():
    """Three hundred queries that are spread as nature has them."""
    assert found(NATURAL) == []


def test_augmented_queries_are_found():
    """Each query moved by a fixed small step, as Jacobian augmentation does, is found within 110 of them."""
    base = np.array([query["vector"] for query in NATURAL[:150]])
    augmented = asked(base + 0.1 * np.sign(RNG.normal(0.0, 1.0, base.shape)))
    places = found(NATURAL[:150] + augmented)
    assert places
    assert 150 < places[0] < 260


def test_steps_to_another_answer_are_found():
    """Steps are found as well where each of them is answered with another label than what it started from."""
    base = np.array([query["vector"] for query in NATURAL[:150]])
    augmented = asked(base + 0.1 * np.sign(RNG.normal(0.0, 1.0, base.shape)))
    crossed = [{**query, "label": str((int(query["label"]) + 1) % 4)} for query in augmented]
    assert found(NATURAL[:150] + crossed)[0] in range(151, 260)


def test_repeats_change_nothing():
    """Queries that are asked up to four times bring the findings, with their values, that they bring asked once."""
    base = np.array([query["vector"] for query in NATURAL[:150]])
    once = NATURAL[:150] + asked(base + 0.1 * np.sign(RNG.normal(0.0, 1.0, base.shape)))
    often = [query for query in once for _ in range(int(RNG.integers(1, 5)))]
    values = []
    for queries in (once, often):
        detector = QuerySpread(QuerySpreadParams())
        findings = [detector.update(observe(place, of=of)) for place, of in enumerate(queries)]
        values.append([finding.value for finding in findings if finding is not None])
    assert len(values[0]) > 10
    assert values[0] == values[1]


def test_one_query_again_and_again_is_left_alone():
    """A health check among natural queries, and one alone, are no finding."""
    check = NATURAL[0]
    assert found([check] * 300) == []
    assert found([each for query in NATURAL for each in (query, check)]) == []


def test_mixtures_that_look_natural_are_found_by_where_they_come_from():
    """Half of the queries out of distribution, over several labels, are a finding; on one label they are not."""
    mixed = asked(RNG.normal(0.0, 1.0, (100, 16)), odd=True)
    assert found(NATURAL[:100] + mixed)[0] in range(129, 135)
    one = [{**query, "label": "0"} if query["odd"] else query for query in mixed]
    assert found(NATURAL[:100] + one) == []


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (RNG.normal(5.0, 1.0, 500).tolist(), 0.98, 1.0),
        (RNG.exponential(1.0, 500).tolist(), 0.7, 0.93),
        ([0.1] * 50 + [3.0] * 50, 0.5, 0.8),
        ([2.0] * 100, 0.0, 0.0),
    ],
    ids=["normal", "exponential", "two-values", "constant"],
)
def test_normality_is_near_one_for_normal_values_only(values, low, high):
    """The statistic on known distributions."""
    assert low <= shapiro_francia(values) <= high

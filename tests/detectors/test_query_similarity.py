"""engine/detectors/query_similarity.py: clients that ask nearly the same again and again."""

import numpy as np
import pytest

from engine.detectors.query_similarity import QuerySimilarity, QuerySimilarityParams
from tests.support.detecting import observe

RNG = np.random.default_rng(23)
NATURAL = RNG.normal(0.0, 1.0, (400, 16)).tolist()
PARAMS = QuerySimilarityParams(below=1.5)


def found(params, queries):
    detector = QuerySimilarity(params)
    return [place for place, of in enumerate(queries) if detector.update(observe(place, of=of)) is not None]


def test_steps_around_one_input_are_found_after_some_and_natural_queries_never():
    """An attack of small steps is found within eleven queries, also between natural ones; 400 natural ones are not."""
    steps = [(np.array(NATURAL[7]) + RNG.normal(0.0, 0.1, 16)).tolist() for _ in range(30)]
    assert found(PARAMS, NATURAL) == []
    assert 405 <= found(PARAMS, NATURAL + steps)[0] <= 410
    mixed = [query for pair in zip(NATURAL[:30], steps, strict=True) for query in pair]
    assert found(PARAMS, mixed)[0] in range(15, 22)


def test_after_a_finding_it_begins_anew():
    """Repeating one input brings a finding every eleventh time."""
    assert found(PARAMS, [[1.0, 2.0]] * 40) == [10, 21, 32]


def test_what_has_left_the_memory_is_forgotten():
    """Ten times the same with 200 others between is nothing."""
    spaced = [query for chunk in range(12) for query in [[9.0] * 16, *RNG.normal(0.0, 1.0, (200, 16)).tolist()]]
    assert found(PARAMS, spaced) == []


def test_another_length_starts_over():
    """Vectors of another model do not compare."""
    assert found(PARAMS, [[1.0]] * 10 + [[1.0, 1.0]] * 10) == []


def test_the_memory_must_hold_the_nearest():
    """More neighbours than are kept can't be."""
    with pytest.raises(ValueError, match="memory"):
        QuerySimilarityParams(below=1.0, nearest=10, memory=10)

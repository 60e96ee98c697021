"""engine.intake.producers.tensors: payloads of the inference protocols to rows."""

import pytest

from engine.intake.producers.reading import Part
from engine.intake.producers.tensors import answers, questions


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"instances": [[1, 2.5], [3, 4]]}, [{"features": [1, 2.5]}, {"features": [3, 4]}]),
        ({"instances": [5, 6]}, [{"features": [5]}, {"features": [6]}]),
        ({"instances": [[1] * 65]}, [{"rows": 1}]),
        ({"instances": [[1], ["a"]]}, [{"rows": 2}]),
        ({"instances": [[[1, 2]]]}, [{"rows": 1}]),
        ({"inputs": [{"shape": [2, 2], "data": [1, 2, 3, 4]}]}, [{"features": [1, 2]}, {"features": [3, 4]}]),
        ({"inputs": [{"shape": [2, 2], "data": [[1, 2], [3, 4]]}]}, [{"features": [1, 2]}, {"features": [3, 4]}]),
        (
            {"inputs": [{"shape": [2], "data": [1, 2]}, {"shape": [2, 1], "data": [3, 4]}]},
            [{"features": [1, 3]}, {"features": [2, 4]}],
        ),
        ({"inputs": [{"shape": [2], "data": [1, 2]}, {"shape": [3], "data": [1, 2, 3]}]}, [{"rows": 0}]),
        ({"inputs": [{"shape": [3, 2], "data": [1, 2, 3]}]}, [{"rows": 0}]),
        ({"inputs": [{"shape": [0], "data": []}]}, [{"rows": 0}]),
        ({"inputs": [{"shape": [1], "data": ["text"]}]}, [{"rows": 1}]),
        ({"instances": [[1]] * 1_001}, [{"rows": 1_001}]),
        ({}, [{"rows": 0}]),
    ],
)
def test_a_request_is_its_rows(body, rows):
    """`features` where a row is a short list of numbers; a request is at least one row in any case."""
    assert questions(Part(body)) == rows


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"predictions": [1, "ok", True]}, [{"label": 1}, {"label": "ok"}, {"label": 1}]),
        ({"predictions": [[0.1, 0.7, 0.2]]}, [{"label": 1, "confidence": 0.7}]),
        ({"predictions": [[3]]}, [{"label": 3}]),
        ({"predictions": [0.3]}, [{}]),
        ({"predictions": [[5.0, -1.0]]}, [{}]),
        ({"predictions": [{"a": 1}]}, [{}]),
        ({"outputs": [{"shape": [2], "data": [0, 1]}]}, [{"label": 0}, {"label": 1}]),
        ({"outputs": [{"shape": [1, 2], "data": [0.25, 0.75]}]}, [{"label": 1, "confidence": 0.75}]),
        ({"predictions": [1] * 1_001}, [{"rows": 1_001}]),
        ({}, [{}]),
    ],
)
def test_a_response_is_a_label_for_each_row(body, rows):
    """The likeliest class with its share, or the class that is named; nothing where it can't be told."""
    assert answers(Part(body)) == rows

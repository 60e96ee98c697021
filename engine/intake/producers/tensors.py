"""Payloads of the inference protocols V1 (`instances`, `predictions`) and V2 (`inputs`, `outputs`) to rows of data."""

import math

from engine.intake.producers.reading import Part, known
from engine.model import Json

FEATURES_MAX = 64
"""More numbers in a row are no `features`: docs/events.md."""
ROWS_MAX = 1_000
"""A larger batch is one row that says how many there were."""
_SUM_TOLERANCE = 0.01

Row = dict[str, Json]


def questions(body: Part) -> list[Row]:
    """The rows of a request, with `features` where a row is a short list of numbers; one row without where none are."""
    rows = [_flat(each.value) for each in body.items("instances")] if body.items("instances") else _tensor_rows(body)
    if not 0 < len(rows) <= ROWS_MAX or any(each is None or not 0 < len(each) <= FEATURES_MAX for each in rows):
        return [known(rows=len(rows))]
    return [{"features": [*each]} for each in rows if each is not None]


def answers(body: Part) -> list[Row]:
    """The rows of a response, with `label` and `confidence` where they can be told; at least one row."""
    outputs = body.items("outputs")
    predictions = body.items("predictions")
    if not predictions and outputs:
        predictions = [Part(each) for each in _split(outputs[0])]
    if len(predictions) > ROWS_MAX:
        return [known(rows=len(predictions))]
    return [_class(each.value) for each in predictions] or [{}]


def _class(value: Json) -> Row:
    """A class by name or number, or the likeliest of probabilities."""
    match value:
        case bool():
            return {"label": int(value)}
        case int() | str():
            return {"label": value if isinstance(value, int) else value[:FEATURES_MAX]}
        case [only]:
            return _class(only)
        case list():
            shares = _numbers(value)
            if shares and all(0 <= each <= 1 for each in shares) and abs(sum(shares) - 1) <= _SUM_TOLERANCE:
                return {"label": shares.index(max(shares)), "confidence": max(shares)}
    return {}


def _tensor_rows(body: Part) -> list[list[float | int] | None]:
    """Row i of each of the inputs, side by side; nothing where they have not all the same number of rows."""
    columns = [_split(each) for each in body.items("inputs")[:FEATURES_MAX]]
    if not columns or len({len(each) for each in columns}) != 1:
        return []
    rows: list[list[float | int] | None] = []
    for parts in zip(*columns, strict=True):
        flat = [_flat(each) for each in parts]
        row: list[float | int] = [number for each in flat if each is not None for number in each]
        rows.append(row if all(each is not None for each in flat) else None)
    return rows


def _split(tensor: Part) -> list[Json]:
    """The rows of a V2 tensor, whose data is flat or nested and whose first dimension counts the rows."""
    data, shape = tensor.at("data").value, [each.integer() or 0 for each in tensor.items("shape")]
    count = shape[0] if shape else 0
    if not isinstance(data, list) or count <= 0:
        return []
    if data and isinstance(data[0], list):
        return [*data] if len(data) == count else []
    if not data or len(data) != math.prod(shape):
        return []
    width = len(data) // count
    return [*data] if width == 1 else [[*data[start : start + width]] for start in range(0, len(data), width)]


def _flat(value: Json) -> list[float | int] | None:
    """A number, or a flat list of them."""
    return _numbers(value if isinstance(value, list) else [value])


def _numbers(values: list[Json]) -> list[float | int] | None:
    found = [
        each for each in values if isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each)
    ]
    return found if len(found) == len(values) else None

"""The bytes of a file beside the rules to a sample of values, which `psi`, `js` and `ks` take as their reference.

`engine.rulefile.samples` reads the file when the rules are loaded and hands the bytes on. JSON, CSV and NumPy's .npy
are taken; nothing is ever unpickled, and an array is not made before its length is known to be that of the file.
"""

import csv
import hashlib
import io
import math
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np

VALUES_MAX = 100_000
"""Most values of a file; the shares of a larger one are as well told by so many of them."""
VALUES_MIN = 20
"""Fewer say nothing of a distribution."""
TEXT_CHARS_MAX = 64
"""A longer category is cut."""
NUMBER_MAX = 1e100
"""Larger magnitudes count as this."""
FORMS = (".json", ".csv", ".npy")
_NPY_HEADER_CHARS_MAX = 2_000


class Sample:
    """The values of a file: floats, and texts (categories); `digest` changes when they do."""

    __slots__ = ("digest", "name", "prepared", "values")

    def __init__(self, name: str, values: list[float | str]) -> None:
        self.name = name
        self.values = values
        self.digest = hashlib.sha256(msgspec.msgpack.encode(values)).hexdigest()
        self.prepared: Any = None
        """What the method made of it: once for all keys of a signal."""

    @property
    def texts(self) -> bool:
        """Whether there is a category among the values."""
        return any(isinstance(each, str) for each in self.values)


def parse_sample(name: str, content: bytes, column: str | None = None) -> Sample:
    """The sample in a file of that name; `column` names one of a CSV file with several.

    Raises ValueError with what is wrong and where, for people.
    """
    form = next((form for form in FORMS if name.lower().endswith(form)), None)
    if form is None:
        raise ValueError(f"the name must end in one of {', '.join(FORMS)}")
    if column is not None and form != ".csv":
        raise ValueError("only a CSV file has columns")
    match form:
        case ".json":
            found = _json(content)
        case ".csv":
            found = _csv(content, column)
        case _:
            found = _npy(content)
    values = list(_bounded(found))
    if len(values) < VALUES_MIN:
        raise ValueError(f"it has {len(values)} values, and fewer than {VALUES_MIN} tell nothing of a distribution")
    return Sample(name, values)


def as_value(of: object) -> float | str | None:
    """A number as one, a text or bool as a category; None for anything else."""
    if isinstance(of, bool):
        return "true" if of else "false"
    if isinstance(of, int | float):
        try:
            number = float(of)
        except OverflowError:
            return None
        return min(max(number, -NUMBER_MAX), NUMBER_MAX) if math.isfinite(number) else None
    return of[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode() if isinstance(of, str) else None


def _bounded(found: Iterable[tuple[str, object]]) -> Iterator[float | str]:
    """The values of (place, value); each must be one, and there must not be too many."""
    for number, (place, each) in enumerate(found):
        if number == VALUES_MAX:
            raise ValueError(f"it has more than {VALUES_MAX:,} values")
        value = as_value(each)
        if value is None:
            raise ValueError(f"{place} is neither a finite number, nor a text, nor true or false")
        yield value


def _json(content: bytes) -> Iterator[tuple[str, object]]:
    """A list of values, or a table of categories with how often each came."""
    try:
        read = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise ValueError(f"it is not JSON: {fault}") from fault
    if isinstance(read, list):
        yield from ((f"element {place}", each) for place, each in enumerate(read))
    elif isinstance(read, dict):
        for category, count in read.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                raise ValueError(f"the count of {category[:40]!r} is not a whole number from 0")
            if count > VALUES_MAX:
                raise ValueError(f"the counts are more than {VALUES_MAX:,} together: divide them all by one number")
            yield from ((category[:40], category) for _ in range(count))
    else:
        raise ValueError("it is neither a list of values nor a table of counts")  # noqa: TRY004  # as documented


def _csv(content: bytes, column: str | None) -> Iterator[tuple[str, object]]:
    """One value a line; a first line that is no number above numbers, or with `column`, is the header."""
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as fault:
        raise ValueError(f"it is not CSV: {fault}") from fault
    lines = [(line, row) for line, row in enumerate(rows, 1) if row]
    if not lines:
        return
    header, place = lines[0][1], 0
    if column is not None:
        if column not in header:
            raise ValueError(f"its first line has no column {column[:40]!r}")
        place, lines = header.index(column), lines[1:]
    elif len(header) > 1:
        raise ValueError(f"it has {len(header)} columns: name one of its first line with `column`")
    elif len(lines) > 1 and _cell(header[0]) is header[0] and isinstance(_cell(lines[1][1][0]), float):
        lines = lines[1:]
    for line, row in lines:
        if len(row) <= place:
            raise ValueError(f"line {line} has {len(row)} columns")
        yield f"line {line}", _cell(row[place])


def _cell(text: str) -> object:
    """A number where it reads as one; an empty cell is no value."""
    try:
        return float(text)
    except ValueError:
        return text.strip() or None


def _npy(content: bytes) -> Iterator[tuple[str, object]]:
    """An array of one dimension of numbers, truth values or texts."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file, max_header_size=_NPY_HEADER_CHARS_MAX)
    except (ValueError, TypeError, SyntaxError, struct.error, RecursionError, MemoryError) as fault:
        raise ValueError("it is not an .npy file of NumPy") from fault
    if kind.kind not in "biufU":
        raise ValueError(f"its elements are of type {kind}: numbers, truth values and texts are taken, no objects")
    if len(shape) != 1:
        raise ValueError(f"its array has {len(shape)} dimensions, not one")
    if len(content) - file.tell() != shape[0] * kind.itemsize:
        raise ValueError("it does not end where its array does")
    array = np.frombuffer(content, dtype=kind, offset=file.tell())
    yield from ((f"element {place}", each.item()) for place, each in enumerate(array[: VALUES_MAX + 1]))

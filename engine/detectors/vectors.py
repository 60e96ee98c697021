"""What the detectors of vectors share: `of` as a JSON list of numbers to a numpy vector, and sums of them as bytes.

Vectors come in as `of`, or as `{"vector": […], "label": …}` where the model's answer matters.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.detectors.values import State
from engine.model import Json

Vector = npt.NDArray[np.float64]
DIMENSIONS_MAX = 256
"""Longer vectors are no observation: send an embedding, or a projection of it."""
NUMBER_MAX = 1e12
"""Larger magnitudes count as this, so that squares and their sums stay exact enough."""
LABEL_CHARS_MAX = 64


class Query(NamedTuple):
    """A vector with the label that the model gave it ("" for none) and whether it was out of distribution."""

    vector: Vector
    label: str = ""
    odd: bool = False


def as_query(of: Json) -> Query | None:
    """`of` as a query; None for what is none."""
    label, odd = "", False
    if isinstance(of, dict):
        given = of.get("label", "")
        if not isinstance(given, str | int):
            return None
        label = str(given)[:LABEL_CHARS_MAX] if abs(given if isinstance(given, int) else 0) < 2**63 else ""
        label, odd = label.encode("utf-8", "replace").decode(), of.get("odd") is True
        of = of.get("vector")
    if not isinstance(of, list) or not 1 <= len(of) <= DIMENSIONS_MAX:
        return None
    numbers = [each for each in of if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) != len(of):
        return None
    try:
        vector = np.array(list(map(float, numbers)))
    except OverflowError:
        return None
    return Query(np.clip(vector, -NUMBER_MAX, NUMBER_MAX), label, odd) if np.isfinite(vector).all() else None


def pack(array: npt.NDArray[Any]) -> bytes:
    """The numbers of an array as float64 bytes."""
    return np.ascontiguousarray(array, dtype="<f8").tobytes()


def unpack(blob: bytes, *shape: int) -> Vector:
    """The array again; ValueError where it is not of this shape or not finite."""
    array = np.frombuffer(blob, dtype="<f8")
    if array.size != math.prod(shape) or not np.isfinite(array).all():
        raise ValueError(f"an array of {array.size} numbers, {shape} are needed, all finite")
    return array.reshape(shape).copy()


class CloudState(State):
    """Number and sums of the vectors of each label, and the sum of all products, about the first vector."""

    size: int = 0
    origin: bytes = b""
    counts: dict[str, int] = {}
    totals: dict[str, bytes] = {}
    products: bytes = b""
    learnt: int = 0


class Cloud:
    """The mean of each label and the common covariance within labels, summed up one vector at a time."""

    def __init__(self, state: CloudState, *, labels_max: int) -> None:
        self._state, self._labels_max = state, labels_max
        size = state.size
        labels = len(state.totals)
        if not 0 <= size <= DIMENSIONS_MAX or labels > labels_max + 1 or state.counts.keys() != state.totals.keys():
            raise ValueError("a cloud that can't be")
        self.origin = unpack(state.origin, size) if size else np.zeros(0)
        self.totals = {label: unpack(blob, size) for label, blob in state.totals.items()}
        self.products = unpack(state.products, size, size) if size else np.zeros((0, 0))

    def save(self) -> None:
        """Write the sums into the state."""
        self._state.origin = pack(self.origin)
        self._state.totals = {label: pack(total) for label, total in self.totals.items()}
        self._state.products = pack(self.products)

    def add(self, query: Query) -> bool:
        """Take a vector in; False where it has another length than the first."""
        state, size = self._state, len(query.vector)
        if not state.size:
            state.size, self.origin, self.products = size, query.vector, np.zeros((size, size))
        if size != state.size:
            return False
        label = query.label if query.label in self.totals or len(self.totals) < self._labels_max else ""
        away = query.vector - self.origin
        self.totals[label] = self.totals.get(label, np.zeros(size)) + away
        state.counts[label] = state.counts.get(label, 0) + 1
        self.products += np.outer(away, away)
        state.learnt += 1
        return True

    def mean(self, label: str) -> Vector | None:
        """The mean of a label, or None where it was never seen."""
        if label not in self.totals:
            return None
        return np.asarray(self.origin + self.totals[label] / self._state.counts[label])

    def covariance(self, *, shrink: float) -> Vector:
        """The covariance within labels, drawn towards its diagonal by `shrink` and kept away from zero."""
        scatter = self.products.copy()
        for label, total in self.totals.items():
            scatter -= np.outer(total, total) / self._state.counts[label]
        covariance = scatter / max(1, self._state.learnt - len(self.totals))
        diagonal = np.maximum(np.diag(covariance), 0.0)
        floor = max(1e-6 * float(diagonal.mean()), 1e-18 * float(np.abs(self.origin).max(initial=0.0)) ** 2, 1e-30)
        return np.asarray((1.0 - shrink) * covariance + np.diag(shrink * diagonal + floor))

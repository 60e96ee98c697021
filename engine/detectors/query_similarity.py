"""`query-similarity`: a client's queries to a finding, where it asks nearly the same; found by name in `table.py`."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import State, StateDetector
from engine.detectors.vectors import DIMENSIONS_MAX, as_query, pack, unpack
from engine.model import Finding


class QuerySimilarityParams(Params, frozen=True):
    """`below`: mean distance, in the unit of the vectors; `nearest`: past queries that count; `memory`: queries kept.

    `dimensions_max`: longer vectors are not looked at.
    """

    below: Annotated[float, Meta(gt=0.0)]
    nearest: Annotated[int, Meta(ge=1, le=1_000)] = 10
    memory: Annotated[int, Meta(ge=2, le=10_000)] = 200
    dimensions_max: Annotated[int, Meta(ge=1, le=DIMENSIONS_MAX)] = 64

    def __post_init__(self) -> None:
        if self.nearest >= self.memory:
            raise ValueError(f"`memory` ({self.memory}) must hold more than the `nearest` ({self.nearest})")


class _State(State):
    size: int = 0
    kept: bytes = b""


class QuerySimilarity(StateDetector[QuerySimilarityParams]):
    """Queries of one client that crowd together: mean distance to its `nearest` nearest past queries < `below`.

    An attack that sees only answers must ask for many inputs that hardly differ (boundary, HopSkipJump, NES, Square);
    people do not. Make the key the client: `by = { client = "event.data.client" }`. `of` is the vector of the input, or
    better of its embedding. Set `below` from ordinary clients: a tenth of the typical distance of two of their queries
    is a start. After a finding the memory is emptied, so that each further `nearest` queries bring one.

    Parameters: `below` (distance), `nearest` (queries, 10), `memory` (queries, 200), `dimensions_max` (64).
    False alarms: a client that repeats the same input (a retry, a health check) does what an attack does: leave these
    out with `where`. On handwritten digits: benchmarks/detectors/digits.py.
    Use `query-spread` for model extraction, whose queries are spread out; `mahalanobis` for a single odd input.
    Source: Chen, Carlini and Wagner (2020), Stateful Detection of Black-Box Adversarial Attacks, SPAI.

    >>> from engine.detectors.contract import Observation
    >>> detector = QuerySimilarity(QuerySimilarityParams(below=0.5, nearest=5))
    >>> asked = [[i % 9, i % 7, i % 5] for i in range(50)] + [[3 + i / 100, 2, 1] for i in range(6)]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=of)) for i, of in enumerate(asked)]
    >>> [(finding.event_ids, finding.detail) for finding in found if finding]
    [(('e53',), "mean distance 0.491 to the 5 nearest of the client's last queries")]
    """

    method = "query-similarity"
    params_type = QuerySimilarityParams
    state_type = _State
    needs_of = True
    restarts = True

    def restored(self) -> None:
        state = self.state
        if not 0 <= state.size <= self.params.dimensions_max or len(state.kept) > 8 * state.size * self.params.memory:
            raise ValueError("more dimensions or queries than there can be")
        rows = len(state.kept) // (8 * state.size) if state.size else 0
        self._kept = unpack(state.kept, rows, state.size)

    def dump(self) -> bytes:
        self.state.kept = pack(self._kept)
        return super().dump()

    def update(self, observation: Observation) -> Finding | None:
        query, params = as_query(observation.of), self.params
        if query is None or len(query.vector) > params.dimensions_max:
            return None
        vector = query.vector
        if len(vector) != self.state.size:  # another kind of input: nothing before it compares
            self.state.size, self._kept = len(vector), np.zeros((0, len(vector)))
        mean = None
        if len(self._kept) >= params.nearest:
            squares = ((self._kept - vector) ** 2).sum(axis=1)
            mean = float(np.sqrt(np.partition(squares, params.nearest - 1)[: params.nearest]).mean())
        if mean is None or mean >= params.below:
            self._kept = np.vstack([self._kept[-(params.memory - 1) :], vector])
            return None
        self._kept = np.zeros((0, len(vector)))
        detail = f"mean distance {mean:.3g} to the {params.nearest} nearest of the client's last queries"
        return Finding(detail=detail, value=mean, threshold=params.below, event_ids=(observation.event_id,))

    def bytes_max(self) -> int:
        return 64 + 8 * self.params.dimensions_max * self.params.memory

"""`query-spread`: a client's queries to a finding, where they map the model; found by name in `table.py`."""

import math
from statistics import NormalDist
from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import FLOAT_BYTES, State, StateDetector
from engine.detectors.vectors import DIMENSIONS_MAX, LABEL_CHARS_MAX, Query, Vector, as_query, pack, unpack
from engine.model import Finding

OUTLIER_SIGMAS = 3.0


class QuerySpreadParams(Params, frozen=True):
    """`below`: normality of the distances, 0 to 1; `distances`: to judge by; `memory`: queries kept per label.

    `labels_max`: labels kept; `odd_share`: of queries out of distribution, 0 to 1, over the last `distances` queries;
    `cover`: labels that such queries must have been given; `dimensions_max`: longer vectors are not looked at.
    """

    below: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.9
    distances: Annotated[int, Meta(ge=30, le=5_000)] = 60
    memory: Annotated[int, Meta(ge=2, le=1_000)] = 50
    labels_max: Annotated[int, Meta(ge=1, le=1_000)] = 20
    odd_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    cover: Annotated[int, Meta(ge=1, le=1_000)] = 2
    dimensions_max: Annotated[int, Meta(ge=1, le=DIMENSIONS_MAX)] = 64


class _State(State):
    size: int = 0
    kept: dict[str, bytes] = {}
    distances: list[float] = []
    recent: list[tuple[str, bool]] = []


class QuerySpread(StateDetector[QuerySpreadParams]):
    """Queries made to copy a model: their distances are not those of natural ones, or they come from nowhere natural.

    Of each query the distance to the nearest kept one is taken, whatever its answer, since a step may cross to another
    (the first query of an answer has none: nothing like it is kept). Those of natural queries are about normal; those
    of synthetic ones (Jacobian augmentation, steps along a line) are not: W < `below`, with W the squared correlation
    of the last `distances` of them, without outliers beyond 3 deviations, with normal scores. W is low as long as
    natural queries and steps are both among the last; steps alone may look as natural queries do. A query that is kept
    already (a retry, a health check) is left out, as it tells nothing new about the model. Mixtures of natural inputs
    pass this test, so a second one stands beside it: a share of `odd_share` of the queries is out of distribution
    (`odd`, as your model's monitor says), and they were given `cover` different labels.

    `of` is `{"vector": […], "label": …, "odd": …}`, with `odd` left out where nothing says so. The key is the client.
    Parameters: `below` (W, 0.9), `distances` (60), `memory` (queries per label, 50), `labels_max` (20), `odd_share`
    (0.5), `cover` (labels, 2), `dimensions_max` (64).
    False alarms: none seen with 40 clients of 600 normal queries each (8 and 32 dimensions, 5 labels); clients with
    rare answers, or whose traffic is clustered by nature (one camera, one form), need a lower `below`. On handwritten
    digits, with the attacks that stay unseen: benchmarks/detectors/extraction.py.
    Use `query-similarity` for attacks on single inputs.
    Source: Juuti et al. (2019), PRADA, IEEE EuroS&P, which looks at each answer by itself, and keeps no repeated query
    but counts its distance of 0; W by Shapiro and Francia (1972), J. Am. Stat. Assoc. 67.

    >>> from engine.detectors.contract import Observation
    >>> import numpy as np
    >>> detector = QuerySpread(QuerySpreadParams())
    >>> rng = np.random.default_rng(1)
    >>> asked = rng.normal(0, 1, (60, 8)).tolist()
    >>> asked += [[value + 0.1 * (i % 2) for value in asked[i % 60]] for i in range(120)]  # small steps from known ones
    >>> seen = [Observation(i, f"e{i}", "s", of={"vector": of, "label": "cat"}) for i, of in enumerate(asked)]
    >>> next(finding.detail for finding in map(detector.update, seen) if finding)
    'normality 0.899 of the distances of the last 60 queries'
    """

    method = "query-spread"
    params_type = QuerySpreadParams
    state_type = _State
    version = 2
    needs_of = True

    def restored(self) -> None:
        state, params = self.state, self.params
        if (
            not 0 <= state.size <= params.dimensions_max
            or len(state.kept) > params.labels_max
            or any(len(each) > 8 * state.size * params.memory for each in state.kept.values())
            or max(len(state.distances), len(state.recent)) > params.distances
        ):
            raise ValueError("more queries, labels or dimensions than there can be")
        rows = {label: len(blob) // (8 * state.size or 1) for label, blob in state.kept.items()}
        self._kept: dict[str, Vector] = {
            label: unpack(blob, rows[label], state.size) for label, blob in state.kept.items()
        }

    def dump(self) -> bytes:
        self.state.kept = {label: pack(each) for label, each in self._kept.items()}
        return super().dump()

    def update(self, observation: Observation) -> Finding | None:
        query, state, params = as_query(observation.of), self.state, self.params
        if query is None or len(query.vector) > params.dimensions_max:
            return None
        if len(query.vector) != state.size:  # another kind of input: nothing before it compares
            state.size, self._kept, state.distances, state.recent = len(query.vector), {}, [], []
        fresh = self._measure(query)
        state.recent = [*state.recent[-(params.distances - 1) :], (query.label, query.odd)]
        if len(state.recent) == params.distances:
            odd = [label for label, each in state.recent if each]
            share = len(odd) / len(state.recent)
            if share >= params.odd_share and len(set(odd)) >= params.cover:
                seen = f"{share:.0%} of the last {params.distances} queries"
                detail = f"{seen} are out of distribution, over {len(set(odd))} labels"
                return Finding(detail, share, params.odd_share, (observation.event_id,))
        if not fresh or len(state.distances) < params.distances:
            return None
        normality = shapiro_francia(state.distances)
        if normality >= params.below:
            return None
        detail = f"normality {normality:.3g} of the distances of the last {params.distances} queries"
        return Finding(detail, normality, params.below, (observation.event_id,))

    def _measure(self, query: Query) -> bool:
        """Put the distance to the nearest kept query into the state, and the query among the kept; False if not.

        Repeats are left out: their distance of 0 says how often a client asks again, not how its inputs are spread, and
        takes W down whatever the others say; and they would push different queries out of the kept.
        """
        state, params = self.state, self.params
        kept = self._kept.get(query.label)
        if kept is None:
            if len(self._kept) < params.labels_max:
                self._kept[query.label] = query.vector[None, :]
            return False
        distance = min(_nearest(each, query.vector) for each in self._kept.values())
        if distance == 0.0:
            return False
        state.distances = [*state.distances[-(params.distances - 1) :], distance]
        self._kept[query.label] = np.vstack([kept[-(params.memory - 1) :], query.vector])
        return True

    def bytes_max(self) -> int:
        params, label = self.params, 4 * LABEL_CHARS_MAX + 5
        vectors = params.labels_max * (label + 5 + 8 * params.dimensions_max * params.memory)
        return 96 + vectors + params.distances * (FLOAT_BYTES + label + 2)


def _nearest(kept: Vector, vector: Vector) -> float:
    away = kept - vector
    return math.sqrt(float(np.einsum("ij,ij->i", away, away).min()))


def shapiro_francia(values: list[float]) -> float:
    """The squared correlation of sorted values, without those beyond 3 deviations, with normal scores; 1 is normal."""
    ordered = np.sort(np.array(values))
    deviation = ordered.std()
    if deviation > 0:
        ordered = ordered[np.abs(ordered - ordered.mean()) <= OUTLIER_SIGMAS * deviation]
    size = len(ordered)
    spread = ordered - ordered.mean()
    square = float(spread @ spread)
    if size < 3 or square <= 1e-24 * float(ordered @ ordered):
        return 0.0  # all alike: nothing natural asks so
    scores = np.array([NormalDist().inv_cdf((place - 0.375) / (size + 0.25)) for place in range(1, size + 1)])
    return float((scores @ spread) ** 2 / ((scores @ scores) * square))

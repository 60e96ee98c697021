"""What `mahalanobis` and `pca` share: vectors to a cloud learnt from the first of them, kept as it is after that."""

from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params, ParamsT
from engine.detectors.values import StateDetector
from engine.detectors.vectors import DIMENSIONS_MAX, LABEL_CHARS_MAX, Cloud, CloudState, Query, as_query
from engine.model import Finding


class CloudedParams(Params, frozen=True):
    """`above`: deviations; `reference`: vectors to learn from; `shrink`: of the covariance to its diagonal, 0 to 1.

    `dimensions_max`: longer vectors are not looked at; `labels_max`: further labels share one mean.
    """

    above: Annotated[float, Meta(gt=0.0)] = 6.0
    reference: Annotated[int, Meta(ge=20, le=1_000_000)] = 1_000
    shrink: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05
    dimensions_max: Annotated[int, Meta(ge=1, le=DIMENSIONS_MAX)] = 64
    labels_max: Annotated[int, Meta(ge=1, le=1_000)] = 32


class Clouded(StateDetector[ParamsT]):
    """Learns, then asks the subclass about each vector."""

    state_type = CloudState
    needs_of = True

    @property
    def clouded(self) -> CloudedParams:
        """The parameters that both methods have."""
        assert isinstance(self.params, CloudedParams)
        return self.params

    def restored(self) -> None:
        if self.state.size > self.clouded.dimensions_max or self.state.learnt > self.clouded.reference:
            raise ValueError("more dimensions or vectors than there can be")
        self.cloud = Cloud(self.state, labels_max=self.clouded.labels_max)
        if self.state.learnt >= self.clouded.reference:
            self.prepare()

    def dump(self) -> bytes:
        self.cloud.save()
        return super().dump()

    def update(self, observation: Observation) -> Finding | None:
        query = as_query(observation.of)
        if query is None or len(query.vector) > self.clouded.dimensions_max:
            return None
        if self.state.learnt < self.clouded.reference:
            if self.cloud.add(query) and self.state.learnt == self.clouded.reference:
                self.prepare()
            return None
        if len(query.vector) != self.state.size:
            return None
        return self.judge(query, observation.event_id)

    def prepare(self) -> None:
        """The reference is complete: reckon what `judge` needs of it."""
        raise NotImplementedError

    def judge(self, query: Query, event_id: str) -> Finding | None:
        """The finding for a vector of the right length."""
        raise NotImplementedError

    def bytes_max(self) -> int:
        size, labels = self.clouded.dimensions_max, self.clouded.labels_max + 1
        return 128 + 8 * size * (size + 1 + labels) + labels * (2 * (4 * LABEL_CHARS_MAX + 5) + 9 + 5)

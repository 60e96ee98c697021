"""`pca`: vectors to a finding, where one breaks the pattern of the others; found by name in `table.py`."""

from typing import Annotated

import numpy as np
from msgspec import Meta

from engine.detectors.clouded import Clouded, CloudedParams
from engine.detectors.tails import chi_square_deviations
from engine.detectors.vectors import Query
from engine.model import Finding


class PcaParams(CloudedParams, frozen=True):
    """`above`: deviations; `explain`: share of the variance that the pattern has, 0 to 1; `reference`: vectors.

    `shrink`: of the covariance to its diagonal, 0 to 1; `dimensions_max`: longer vectors are not looked at;
    `labels_max`: further labels share one mean.
    """

    explain: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.95
    shrink: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0


class Pca(Clouded[PcaParams]):
    """A vector that is extreme within the pattern (T²) or off it (residual Q), either as deviations > `above`.

    The pattern is the fewest principal components that hold `explain` of the variance of the first `reference` vectors.
    T² = sum over them of (projection² / variance), Q = squared length of what they leave. T² is chi-square, Q is taken
    as a multiple of one with the same mean and variance (Box).

    `of` is the vector, or `{"vector": […], "label": …}` with a mean for each label.
    Parameters: `above` (deviations, 6), `explain` (share, 0.95), `reference` (vectors, 1,000), `shrink` (share, 0),
    `dimensions_max` (64), `labels_max` (32).
    False alarms per 10,000 normal vectors of 16 dimensions: 31 at 3, 0.8 at 4, none seen at 5 (of 40,000).
    Use `mahalanobis` for a few features of like weight; there, small directions count as much as large ones.
    Source: Hotelling (1947); Jackson and Mudholkar (1979), Technometrics 21(3); Box (1954), Ann. Math. Stat. 25.

    >>> from engine.detectors.contract import Observation
    >>> detector = Pca(PcaParams(reference=100))
    >>> seen = [[i % 7, 2 * (i % 7) + i % 2 / 10] for i in range(100)] + [[3, 6], [6, 0]]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=of)) for i, of in enumerate(seen)]
    >>> [(finding.event_ids, finding.detail) for finding in found if finding]
    [(('e101',), '79.7 deviations off the pattern of 100 vectors, 1 components')]
    """

    method = "pca"
    params_type = PcaParams

    def prepare(self) -> None:
        variances, axes = np.linalg.eigh(self.cloud.covariance(shrink=self.params.shrink))
        variances, axes = np.maximum(variances[::-1], 1e-300), axes[:, ::-1]
        share = np.cumsum(variances) / variances.sum()
        kept = int(np.searchsorted(share, self.params.explain)) + 1
        self._axes, self._variances, rest = axes[:, :kept], variances[:kept], variances[kept:]
        # Q has the mean of sum(rest) and the variance 2 sum(rest²): a multiple g of a chi-square of h degrees.
        self._scale = float((rest**2).sum() / rest.sum()) if rest.size else 1.0
        self._degrees = float(rest.sum() / self._scale) if rest.size else 0.0

    def judge(self, query: Query, event_id: str) -> Finding | None:
        mean = self.cloud.mean(query.label)
        if mean is None:
            mean = self.cloud.mean("")
        if mean is None:
            return None  # a label that the reference has not
        away = query.vector - mean
        inside = away @ self._axes
        t2 = chi_square_deviations(float(np.sum(inside**2 / self._variances)), len(inside))
        q = -np.inf
        if self._degrees:
            left = away - self._axes @ inside
            q = chi_square_deviations(float(left @ left) / self._scale, self._degrees)
        far, where = max((t2, "along the pattern"), (q, "off the pattern"))
        if not far > self.params.above:
            return None
        detail = f"{far:.3g} deviations {where} of {self.params.reference} vectors, {len(inside)} components"
        return Finding(detail=detail, value=float(far), threshold=self.params.above, event_ids=(event_id,))

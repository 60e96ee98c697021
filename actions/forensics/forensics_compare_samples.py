"""`forensics.compare-samples`: a training set and the list of its samples to a report of what was changed since."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.examinations import sample_files
from engine.forensics.report import Report


class ForensicsCompareSamplesParams(Params, frozen=True):
    """The set, and the list."""

    path: Annotated[EvidencePath, Meta(description="the training set (.npz, .safetensors)")]
    against: Annotated[EvidencePath, Meta(description="what `halon forensics samples --out` wrote when it was sound")]


class ForensicsCompareSamples(Examination[ForensicsCompareSamplesParams]):
    """Finds samples that were changed, relabelled, added, taken away or doubled, and keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.compare-samples"
    params = ForensicsCompareSamplesParams
    example = '{ do = "forensics.compare-samples", path = "/srv/data/train.npz", against = "/srv/lists/train.json" }'

    def paths(self, params: ForensicsCompareSamplesParams) -> tuple[str, ...]:
        return params.path, params.against

    def examine(self, params: ForensicsCompareSamplesParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the number of samples
        return sample_files(Path(params.path), Path(params.against))

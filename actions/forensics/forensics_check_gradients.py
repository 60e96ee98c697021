"""`forensics.check-gradients`: gradient norms of a run to a report of where they vanished, exploded or jumped."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.examinations import gradient_file
from engine.forensics.report import Report


class ForensicsCheckGradientsParams(Params, frozen=True):
    """The norms of the run."""

    path: Annotated[
        EvidencePath,
        Meta(description="gradient norms over steps, one array a layer; `steps` numbers them"),
    ]


class ForensicsCheckGradients(Examination[ForensicsCheckGradientsParams]):
    """Finds the layer and the step where gradients began to vanish, to explode or jumped, and keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.check-gradients"
    params = ForensicsCheckGradientsParams
    example = '{ do = "forensics.check-gradients", path = "/srv/runs/run-7/norms.npz" }'

    def paths(self, params: ForensicsCheckGradientsParams) -> tuple[str, ...]:
        return (params.path,)

    def examine(self, params: ForensicsCheckGradientsParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the size of the arrays
        return gradient_file(Path(params.path))

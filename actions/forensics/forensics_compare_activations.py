"""`forensics.compare-activations`: activations of a clean and of a suspect set to a report of how they differ."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.examinations import activation_files
from engine.forensics.report import Report


class ForensicsCompareActivationsParams(Params, frozen=True):
    """Both files, one array of (rows, units) a layer."""

    clean: Annotated[EvidencePath, Meta(description="activations on inputs that are known to be clean")]
    suspect: Annotated[
        EvidencePath,
        Meta(description="activations on the suspect ones, with their `labels` or without"),
    ]


class ForensicsCompareActivations(Examination[ForensicsCompareActivationsParams]):
    """Compares activations layer by layer: distances, dead units, classes that fall into two; keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.compare-activations"
    params = ForensicsCompareActivationsParams
    example = '{ do = "forensics.compare-activations", clean = "/srv/probe/clean.npz", suspect = "/srv/probe/now.npz" }'

    def paths(self, params: ForensicsCompareActivationsParams) -> tuple[str, ...]:
        return params.clean, params.suspect

    def examine(self, params: ForensicsCompareActivationsParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the size of the arrays
        return activation_files(Path(params.clean), Path(params.suspect))

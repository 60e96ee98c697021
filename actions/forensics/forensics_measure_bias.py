"""`forensics.measure-bias`: decisions, truth and groups to a report of how unequally groups are treated."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.bias import DIFFERENCE_MAX
from engine.forensics.examinations import bias_file
from engine.forensics.report import Report


class ForensicsMeasureBiasParams(Params, frozen=True):
    """The decisions, and the largest difference that is no finding."""

    path: Annotated[EvidencePath, Meta(description="arrays `truth` and `decided` of 0 and 1, and `groups`")]
    above: Annotated[float, Meta(gt=0, lt=1, description="the largest difference")] = DIFFERENCE_MAX


class ForensicsMeasureBias(Examination[ForensicsMeasureBiasParams]):
    """Measures demographic parity and equalised odds with their intervals, and keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.measure-bias"
    params = ForensicsMeasureBiasParams
    example = '{ do = "forensics.measure-bias", path = "/srv/probe/decisions.npz" }'

    def paths(self, params: ForensicsMeasureBiasParams) -> tuple[str, ...]:
        return (params.path,)

    def examine(self, params: ForensicsMeasureBiasParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the number of decisions
        return bias_file(Path(params.path), params.above)

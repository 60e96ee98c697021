"""Small actions and detectors, so that tests of the loader do not lean on the shipped ones."""

from typing import Annotated

import msgspec
from msgspec import Meta

from engine.action import Action, Catalogue, Params, Settings
from engine.clock import Duration
from engine.detectors.contract import Detector, DetectorTable
from engine.detectors.contract import Params as DetectorParams


class SuspendParams(Params, frozen=True):
    job: str
    grace: Duration = Duration(0)
    signal: Annotated[int, Meta(ge=1, le=64)] = 15
    nodes: tuple[str, ...] = ()
    labels: dict[str, str] = {}


class SuspendSettings(Settings, frozen=True):
    endpoint: str = "http://127.0.0.1"
    attempts: Annotated[int, Meta(ge=1)] = 1


class Suspend(Action[SuspendParams]):
    name = "slurm.suspend"
    params = SuspendParams
    settings = SuspendSettings
    target_kind = "training"
    reversible = True
    privileges = "none"
    example = '{ do = "slurm.suspend", job = "${event.data.job_id}" }'


class Resume(Action[SuspendParams]):
    name = "slurm.resume"
    params = SuspendParams
    target_kind = "training"
    reversible = True
    privileges = "none"
    raises = ("training.*",)
    opposes = ("slurm.suspend",)
    example = '{ do = "slurm.resume", job = "17" }'


class Publish(Action[SuspendParams]):
    name = "gate.publish"
    params = SuspendParams
    target_kind = "any"
    reversible = False
    privileges = "none"
    raises = ("gate.open",)
    example = '{ do = "gate.publish", job = "17" }'


class DeleteParams(Params, frozen=True):
    path: str
    depth: Annotated[float, Meta(gt=0.0)] | None = None


class Delete(Action[DeleteParams]):
    name = "file.delete"
    params = DeleteParams
    target_kind = "storage"
    reversible = False
    privileges = "none"
    example = '{ do = "file.delete", path = "/tmp/x" }'


class CountParams(DetectorParams, frozen=True):
    at_least: Annotated[int, Meta(ge=1)]
    within: Duration


class Count(Detector[CountParams]):
    method = "count"
    params_type = CountParams
    restarts = True


class DistinctParams(DetectorParams, frozen=True):
    at_least: Annotated[int, Meta(ge=1)]


class Distinct(Detector[DistinctParams]):
    method = "distinct"
    params_type = DistinctParams
    needs_of = True


class DriftParams(DetectorParams, frozen=True):
    file: str | None = None
    column: str | None = None


class Drift(Detector[DriftParams]):
    method = "drift"
    params_type = DriftParams
    needs_value = True
    file_key = "file"
    file_numbers = True


class MeanParams(DetectorParams, frozen=True):
    above: float | None = None
    below: float | None = None

    def __post_init__(self):
        if self.above is None and self.below is None:
            raise ValueError("`mean` needs `above` or `below`")


class Mean(Detector[MeanParams]):
    method = "mean"
    params_type = MeanParams
    needs_value = True


class RatioParams(DetectorParams, frozen=True):
    at_least: Annotated[float, Meta(ge=0.0, le=1.0)]


class Ratio(Detector[RatioParams]):
    method = "ratio"
    params_type = RatioParams
    needs_of = True
    of_is_bool = True


class AbsenceParams(DetectorParams, frozen=True):
    for_: Duration = msgspec.field(name="for")


class Absence(Detector[AbsenceParams]):
    method = "absence"
    params_type = AbsenceParams


CATALOGUE = Catalogue({each.name: each for each in (Suspend, Resume, Publish, Delete)})
DETECTORS = DetectorTable({each.method: each for each in (Absence, Count, Distinct, Drift, Mean, Ratio)})

"""`model.validate`: what a model says on a probe set to a gate passed, or to a step that failed."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import ActionContext, Params
from engine.forensics.report import Report
from engine.forensics.tensors import TensorFile
from engine.forensics.validation import Bounds, validate_probe
from engine.model import Failed, Plan, Refused

_Share = Annotated[float, Meta(ge=0, le=1)]


class ModelValidateParams(Params, frozen=True):
    """The probe set with what the model said on it, and the bounds; at least one of them."""

    probe: Annotated[EvidencePath, Meta(description="arrays `truth`, `decided`, `groups`, `scores`, `reference`")]
    accuracy_min: Annotated[_Share | None, Meta(description="least share of `decided` that equals `truth`")] = None
    fairness_max: Annotated[_Share | None, Meta(description="largest gap between `groups`: parity or odds")] = None
    drift_max: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="largest stability index of `scores` to `reference`")
    ] = None


class ModelValidate(Examination[ModelValidateParams]):
    """Holds what a model says on a probe set to bounds. Outside of them the step fails, and its phase stops there.

    Put it after `model.restore` and before what lets the model serve again; run the model on the probe set before,
    as by `exec.run`, which fails as well if its program does.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "model.validate"
    params = ModelValidateParams
    target_kind = "model"
    gate = True
    example = '{ do = "model.validate", probe = "/srv/m-17.npz", accuracy_min = 0.95, drift_max = 0.2 }'

    async def check(self, params: ModelValidateParams, context: ActionContext) -> Plan | Refused | Failed:
        if not _bounds(params).asked:
            return Refused("give `accuracy_min`, `fairness_max` or `drift_max`: a gate must ask something")
        return await super().check(params, context)

    def paths(self, params: ModelValidateParams) -> tuple[str, ...]:
        return (params.probe,)

    def examine(self, params: ModelValidateParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the size of the arrays
        return validate_probe(TensorFile(Path(params.probe)), _bounds(params))


def _bounds(params: ModelValidateParams) -> Bounds:
    return Bounds(accuracy_min=params.accuracy_min, fairness_max=params.fairness_max, drift_max=params.drift_max)

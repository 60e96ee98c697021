"""`forensics.compare-weights`: two checkpoints to a report of whether the change looks like a backdoor."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.report import Report
from engine.forensics.tensors import TensorFile
from engine.forensics.weights import compare_weights


class ForensicsCompareWeightsParams(Params, frozen=True):
    """The checkpoint that is trusted, and the one that is not."""

    before: Annotated[EvidencePath, Meta(description="absolute path of the trusted checkpoint (.safetensors, .npz)")]
    after: Annotated[EvidencePath, Meta(description="absolute path of the suspect checkpoint")]
    output: Annotated[str, Meta(description="weights of the last layer; empty: the last matrix of the file")] = ""


class ForensicsCompareWeights(Examination[ForensicsCompareWeightsParams]):
    """Compares a suspect checkpoint with a trusted one, layer by layer, and keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.compare-weights"
    params = ForensicsCompareWeightsParams
    example = (
        '{ do = "forensics.compare-weights", before = "/srv/models-backups/m-17/v3/w.safetensors",'
        ' after = "/srv/models/m-17/w.safetensors", timeout = "10m" }'
    )

    def paths(self, params: ForensicsCompareWeightsParams) -> tuple[str, ...]:
        return params.before, params.after

    def examine(self, params: ForensicsCompareWeightsParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the size of a tensor
        return compare_weights(TensorFile(Path(params.before)), TensorFile(Path(params.after)), output=params.output)

"""`forensics.find-poison`: a training set to a report of its poisoned samples and backdoors."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.poisoning import examine_poison
from engine.forensics.report import Report
from engine.forensics.samples import read_features, read_labels
from engine.forensics.tensors import TensorFile


class ForensicsFindPoisonParams(Params, frozen=True):
    """The training set, and how its arrays are called."""

    path: Annotated[EvidencePath, Meta(description="absolute path of the training set (.npz, .safetensors)")]
    features: Annotated[str, Meta(description="array of the samples; empty: `features`, `images`, `inputs` or `x`")] = (
        ""
    )
    labels: Annotated[str, Meta(description="array of their labels; empty: `labels`, `y` or `targets`")] = ""


class ForensicsFindPoison(Examination[ForensicsFindPoisonParams]):
    """Finds poisoned samples and backdoors in a training set, and keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.find-poison"
    params = ForensicsFindPoisonParams
    example = '{ do = "forensics.find-poison", path = "/srv/data/train.npz", timeout = "10m" }'

    def paths(self, params: ForensicsFindPoisonParams) -> tuple[str, ...]:
        return (params.path,)

    def examine(self, params: ForensicsFindPoisonParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the number of pairs of samples
        file = TensorFile(Path(params.path))
        features, labels = read_features(file, params.features), read_labels(file, params.labels)
        return examine_poison(features, labels, subject=params.path)[0]

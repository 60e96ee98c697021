"""`forensics.find-wrong-labels`: a training set to a report of its wrong labels, and what to leave out."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination, Examined
from engine.action import Params
from engine.forensics.examinations import label_file


class ForensicsFindWrongLabelsParams(Params, frozen=True):
    """The training set, and how its arrays are called."""

    path: Annotated[EvidencePath, Meta(description="absolute path of the training set (.npz, .safetensors)")]
    features: Annotated[str, Meta(description="array of the samples; empty: `features`, `images`, `inputs` or `x`")] = (
        ""
    )
    labels: Annotated[str, Meta(description="array of their labels; empty: `labels`, `y` or `targets`")] = ""
    probabilities: Annotated[
        str, Meta(description="array of out-of-sample class probabilities; empty: from the nearest neighbours")
    ] = ""


class ForensicsFindWrongLabels(Examination[ForensicsFindWrongLabelsParams]):
    """Finds wrong labels by confident learning; keeps the report, and `leave-out.json` for training.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.find-wrong-labels"
    params = ForensicsFindWrongLabelsParams
    example = '{ do = "forensics.find-wrong-labels", path = "/srv/data/train.npz", timeout = "10m" }'

    def paths(self, params: ForensicsFindWrongLabelsParams) -> tuple[str, ...]:
        return (params.path,)

    def examine(self, params: ForensicsFindWrongLabelsParams, stopped: Callable[[], bool]) -> Examined:
        del stopped  # bounded by the number of pairs of samples
        return label_file(Path(params.path), params.features, params.labels, params.probabilities)

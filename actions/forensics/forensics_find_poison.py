"""`forensics.find-poison`: a training set to a report of its poisoned samples and backdoors."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination, Examined
from engine.action import Params
from engine.forensics.examinations import poison_file


class ForensicsFindPoisonParams(Params, frozen=True):
    """The training set, and how its arrays are called."""

    path: Annotated[EvidencePath, Meta(description="absolute path of the training set (.npz, .safetensors)")]
    features: Annotated[str, Meta(description="array of the samples; empty: `features`, `images`, `inputs` or `x`")] = (
        ""
    )
    labels: Annotated[str, Meta(description="array of their labels; empty: `labels`, `y` or `targets`")] = ""


class ForensicsFindPoison(Examination[ForensicsFindPoisonParams]):
    """Finds poisoned samples and backdoors in a training set; keeps the report, and `leave-out.json` for training.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.find-poison"
    params = ForensicsFindPoisonParams
    example = '{ do = "forensics.find-poison", path = "/srv/data/train.npz", timeout = "10m" }'

    def paths(self, params: ForensicsFindPoisonParams) -> tuple[str, ...]:
        return (params.path,)

    def examine(self, params: ForensicsFindPoisonParams, stopped: Callable[[], bool]) -> Examined:
        del stopped  # bounded by the number of pairs of samples
        return poison_file(Path(params.path), params.features, params.labels)

"""`forensics.find-adversarial`: a batch of inputs to a report of those that are probably adversarial."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.examinations import NEIGHBOURS, batch_files
from engine.forensics.report import Report


class ForensicsFindAdversarialParams(Params, frozen=True):
    """The batch, and what it is held against."""

    reference: Annotated[EvidencePath, Meta(description="known inputs as `features`, their classes as `labels`")]
    batch: Annotated[EvidencePath, Meta(description="the inputs, and what the model said")]
    neighbours: Annotated[int, Meta(ge=1, le=1_000, description="of the known inputs, how many are asked")] = NEIGHBOURS


class ForensicsFindAdversarial(Examination[ForensicsFindAdversarialParams]):
    """Finds inputs that disagree with their neighbours or lie off the class that the model gave them; keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.find-adversarial"
    params = ForensicsFindAdversarialParams
    example = '{ do = "forensics.find-adversarial", reference = "/srv/probe/known.npz", batch = "/srv/probe/new.npz" }'

    def paths(self, params: ForensicsFindAdversarialParams) -> tuple[str, ...]:
        return params.reference, params.batch

    def examine(self, params: ForensicsFindAdversarialParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the number of pairs of inputs
        return batch_files(Path(params.reference), Path(params.batch), params.neighbours)

"""`forensics.scan-pickle`: a pickle file to a report of what unpickling it would call. It is never loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.pickles import examine_pickle
from engine.forensics.report import Report


class ForensicsScanPickleParams(Params, frozen=True):
    """Which file, and which imports are trusted besides the usual."""

    path: Annotated[EvidencePath, Meta(description="absolute path of a .pkl, .pt, .bin or .joblib file")]
    allow: Annotated[tuple[str, ...], Meta(max_length=1000, description="imports to allow too, `module.name`")] = ()


class ForensicsScanPickle(Examination[ForensicsScanPickleParams]):
    """Says what unpickling a file would import and call beyond an allow-list, and keeps the report; it is never loaded.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.scan-pickle"
    params = ForensicsScanPickleParams
    example = '{ do = "forensics.scan-pickle", path = "/srv/models/m-17/model.pt" }'

    def paths(self, params: ForensicsScanPickleParams) -> tuple[str, ...]:
        return (params.path,)

    def examine(self, params: ForensicsScanPickleParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the number of opcodes
        return examine_pickle(Path(params.path), allow=params.allow)

"""`forensics.scan-privacy`: samples or model outputs to a report of the personal data, secrets and canaries in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.examinations import privacy_file
from engine.forensics.report import Report
from engine.personal import PERSONAL, Kind


class ForensicsScanPrivacyParams(Params, frozen=True):
    """The text, and what is looked for."""

    path: Annotated[EvidencePath, Meta(description="samples or outputs, one per line (text or JSON lines)")]
    kinds: Annotated[tuple[Kind, ...], Meta(description="kinds of personal data; none: only canaries")] = PERSONAL
    canaries: Annotated[
        str, Meta(pattern=r"^(/[^\x00]+)?\Z", description="a file of planted texts, one per line; empty: none")
    ] = ""


class ForensicsScanPrivacy(Examination[ForensicsScanPrivacyParams]):
    """Counts personal data, secrets and planted canaries, line by line, and keeps the report; it never quotes them.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.scan-privacy"
    params = ForensicsScanPrivacyParams
    example = '{ do = "forensics.scan-privacy", path = "/srv/log/outputs.jsonl", canaries = "/etc/halon/canaries" }'

    def paths(self, params: ForensicsScanPrivacyParams) -> tuple[str, ...]:
        return (params.path, params.canaries) if params.canaries else (params.path,)

    def examine(self, params: ForensicsScanPrivacyParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the size of the file
        canaries = Path(params.canaries) if params.canaries else None
        return privacy_file(Path(params.path), canaries, params.kinds)

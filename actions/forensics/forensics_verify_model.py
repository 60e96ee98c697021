"""`forensics.verify-model`: a model file and its SHA-256, or a folder and its manifest, to a report in the evidence."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import ActionContext, Params
from engine.forensics.integrity import examine_integrity
from engine.forensics.manifest import examine_folder, read_manifest
from engine.forensics.report import Report
from engine.model import Failed, Plan, Refused


class ForensicsVerifyModelParams(Params, frozen=True):
    """A file with its hash, or a folder with its manifest."""

    path: Annotated[EvidencePath, Meta(description="absolute path of the model file, or of its folder")]
    sha256: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{64})?\Z", description="of a file: what it should hash to")] = ""
    manifest: Annotated[str, Meta(pattern=r"^(/[^\x00]+)?\Z", description="of a folder: its manifest")] = ""
    root: Annotated[
        str, Meta(pattern=r"^([0-9A-Fa-f]{64})?\Z", description="the Merkle root that the manifest must have")
    ] = ""


class ForensicsVerifyModel(Examination[ForensicsVerifyModelParams]):
    """Holds a model file against its SHA-256, or a folder against its manifest, and keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.verify-model"
    params = ForensicsVerifyModelParams
    example = (
        '{ do = "forensics.verify-model", path = "/srv/models/m-17", manifest = "/srv/manifests/m-17.json",'
        ' timeout = "5m" }'
    )

    async def check(self, params: ForensicsVerifyModelParams, context: ActionContext) -> Plan | Refused | Failed:
        if bool(params.sha256) == bool(params.manifest):
            return Refused("give `sha256` of a file or `manifest` of a folder")
        return await super().check(params, context)

    def paths(self, params: ForensicsVerifyModelParams) -> tuple[str, ...]:
        return (params.path, params.manifest) if params.manifest else (params.path,)

    def examine(self, params: ForensicsVerifyModelParams, stopped: Callable[[], bool]) -> Report:
        if params.sha256:
            return examine_integrity(Path(params.path), params.sha256, stopped=stopped)
        manifest = read_manifest(Path(params.manifest))
        return examine_folder(Path(params.path), manifest, root=params.root, stopped=stopped)

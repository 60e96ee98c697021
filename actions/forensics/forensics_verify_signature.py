"""`forensics.verify-signature`: a model and its OpenSSF signing bundle to a report of whether it is what was signed."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import ActionContext, Params
from engine.forensics.report import Report
from engine.forensics.signature import examine_signature
from engine.model import Failed, Plan, Refused


class ForensicsVerifySignatureParams(Params, frozen=True):
    """The model, its signature, and by whom it must be."""

    path: Annotated[EvidencePath, Meta(description="the model: a file, or its folder")]
    signature: Annotated[EvidencePath, Meta(description="its OpenSSF model signing bundle")]
    public_key_file: Annotated[
        str, Meta(pattern=r"^(/[^\x00]+)?\Z", description="PEM of the signer's public key; empty: `certificate_files`")
    ] = ""
    certificate_files: Annotated[
        tuple[EvidencePath, ...], Meta(max_length=16, description="PEM of the chain that the signer must be of")
    ] = ()


class ForensicsVerifySignature(Examination[ForensicsVerifySignatureParams]):
    """Holds a model against its signature, offline, and keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.verify-signature"
    params = ForensicsVerifySignatureParams
    privileges = "read the files; the extra `signing` must be installed"
    example = (
        '{ do = "forensics.verify-signature", path = "/srv/models/m-17", signature = "/srv/models/m-17.sig",'
        ' public_key_file = "/etc/halon/signer.pem" }'
    )

    async def check(self, params: ForensicsVerifySignatureParams, context: ActionContext) -> Plan | Refused | Failed:
        if bool(params.public_key_file) == bool(params.certificate_files):
            return Refused("give `public_key_file` or `certificate_files`")
        return await super().check(params, context)

    def paths(self, params: ForensicsVerifySignatureParams) -> tuple[str, ...]:
        key = (params.public_key_file,) if params.public_key_file else params.certificate_files
        return params.path, params.signature, *key

    def examine(self, params: ForensicsVerifySignatureParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # the library hashes the files in one go
        return examine_signature(
            Path(params.path),
            Path(params.signature),
            public_key=Path(params.public_key_file) if params.public_key_file else None,
            certificates=tuple(map(Path, params.certificate_files)),
        )

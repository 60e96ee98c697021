"""`forensics.audit-membership`: losses of samples to a report of how well they tell what was trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.forensics.examining import EvidencePath, Examination
from engine.action import Params
from engine.forensics.examinations import membership_file
from engine.forensics.report import Report


class ForensicsAuditMembershipParams(Params, frozen=True):
    """The losses."""

    path: Annotated[EvidencePath, Meta(description="arrays `members` and `strangers`, one loss a sample")]


class ForensicsAuditMembership(Examination[ForensicsAuditMembershipParams]):
    """Audits what a model gives away of its training set by the loss-threshold attack, and keeps the report.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "forensics.audit-membership"
    params = ForensicsAuditMembershipParams
    example = '{ do = "forensics.audit-membership", path = "/srv/probe/losses.npz" }'

    def paths(self, params: ForensicsAuditMembershipParams) -> tuple[str, ...]:
        return (params.path,)

    def examine(self, params: ForensicsAuditMembershipParams, stopped: Callable[[], bool]) -> Report:
        del stopped  # bounded by the number of losses
        return membership_file(Path(params.path))

"""`postgres.rotate-password`: a role's password that may have leaked, to a new one that its user already has.

A role has one password, so the old one ends the moment the new one is set; it is put where its user reads it right
after. Sessions that were opened with the old one are ended.
"""

import secrets

from actions.credentials.handover import Handover, fingerprint
from actions.credentials.postgres import PostgresRotateSettings, Role, RoleParams, belongs, connect, make_verifier
from actions.support import TargetError, failed, probed, reached, text_of
from engine.action import Action, ActionContext
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    InForce,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Target,
    Unknown,
    Verification,
)


class PostgresRotatePassword(Action[RoleParams]):
    """Gives a role a new password, hands it to its user, and ends the sessions of the old one.

    Irreversible: a password that may be in strange hands is never made valid again, and it is not kept.
    """

    name = "postgres.rotate-password"
    params = RoleParams
    settings = PostgresRotateSettings
    target_kind = "credential"
    reversible = False
    privileges = "a superuser (to read the verifier back), and write access to the folder of the role's password file"
    example = '{ do = "postgres.rotate-password", role = "trainer" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(reached(connect(self._own(), context)))

    async def check(self, params: RoleParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        if params.role == settings.user:
            return Refused(f"`{params.role}` is the role that Halon itself uses; rotate it by hand")
        try:
            handover = Handover(settings, params.role, context)
            handover.current()
            async with connect(settings, context) as roles:
                role = await roles.read(params.role, verifier=True)
        except TargetError as error:
            return failed(error)
        if role is None:
            return Failed(f"PostgreSQL has no role `{params.role}`; `\\du` in psql shows them")
        salt = secrets.token_hex(8)
        return Plan(
            target=Target("credential", f"postgres {settings.host}:{settings.port} {params.role}"),
            would=f"give {params.role} a new password in {handover.path} and end its {role.sessions} sessions",
            receipt={"salt": salt, "old": fingerprint(salt, role.verifier)},
        )

    async def apply(
        self, params: RoleParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            handover = Handover(self._own(), params.role, context)
            async with connect(self._own(), context) as roles:
                role = await roles.read(params.role, verifier=True)
                if role is not None and not _why_not(role, handover, plan.receipt):
                    return AlreadyInPlace(plan.receipt, "the old password was ended already")
                await roles.set_verifier(params.role, make_verifier(handover.stage()))
                handover.deliver()
                await roles.end_sessions(params.role)
                handover.finish()
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.role} has a new password in {handover.path}; its sessions are ended")

    async def verify(self, params: RoleParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            handover = Handover(self._own(), params.role, context)
            async with connect(self._own(), context) as roles:
                role = await roles.read(params.role, verifier=True)
            why = _why_not(role, handover, receipt) if role else "the role is gone"
        except TargetError as error:
            return Unknown(str(error))
        return NotInForce(why) if why else InForce(f"only the new password in {handover.path} is valid")

    def _own(self) -> PostgresRotateSettings:
        assert isinstance(self._settings, PostgresRotateSettings)
        return self._settings


def _why_not(role: Role, handover: Handover, receipt: Receipt) -> str:
    """Why the rotation is not in force; empty where it is."""
    if handover.staged() is not None:
        return "the rotation was interrupted before it was whole"
    if fingerprint(text_of(receipt, "salt"), role.verifier) == text_of(receipt, "old"):
        return "the role has the old password"
    if not belongs(handover.current() or "", role.verifier):
        return f"the role has another password than the one in {handover.path}"
    return "" if handover.private() else f"{handover.path} can be read by others"

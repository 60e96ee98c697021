"""`postgres.disable-login`: a role of a PostgreSQL server to one that can't log in, its sessions ended."""

from actions.credentials.postgres import PostgresSettings, RoleParams, connect
from actions.support import TargetError, failed, probed, reached
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
    Undoing,
    Undone,
    Unknown,
    Verification,
)


class PostgresDisableLogin(Action[RoleParams]):
    """Takes the right to log in from a role and ends its sessions; undo gives it back."""

    name = "postgres.disable-login"
    params = RoleParams
    settings = PostgresSettings
    target_kind = "credential"
    reversible = True
    privileges = "a role with CREATEROLE and membership in pg_signal_backend and pg_read_all_stats, or a superuser"
    example = '{ do = "postgres.disable-login", role = "trainer", hold = "24h" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(reached(connect(self._own(), context)))

    async def check(self, params: RoleParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        if params.role == settings.user:
            return Refused(f"`{params.role}` is the role that Halon itself uses; it could not undo this")
        try:
            async with connect(settings, context) as roles:
                role = await roles.read(params.role)
        except TargetError as error:
            return failed(error)
        if role is None:
            return Failed(f"PostgreSQL has no role `{params.role}`; `\\du` in psql shows them")
        return Plan(
            target=Target("credential", f"postgres {settings.host}:{settings.port} {params.role}"),
            would=f"take LOGIN from {params.role} and end its {role.sessions} sessions",
            receipt={"before_login": role.login},
            in_place=not role.login and not role.sessions,
        )

    async def apply(
        self, params: RoleParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            async with connect(self._own(), context) as roles:
                role = await roles.read(params.role)
                if role is not None and not role.login and not role.sessions:
                    return AlreadyInPlace(plan.receipt, "the role can't log in")
                await roles.alter(params.role, "NOLOGIN")
                await roles.end_sessions(params.role)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"the role {params.role} can't log in")

    async def verify(self, params: RoleParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            async with connect(self._own(), context) as roles:
                role = await roles.read(params.role)
        except TargetError as error:
            return Unknown(str(error))
        if role is not None and role.login:
            return NotInForce(f"the role {params.role} can log in")
        if role is not None and role.sessions:
            return NotInForce(f"{role.sessions} sessions of {params.role} are open")
        return InForce(f"the role {params.role} can't log in")

    async def undo(self, params: RoleParams, receipt: Receipt, context: ActionContext) -> Undoing:
        if not receipt.get("before_login"):
            return Undone("the role could not log in before; it still can't")
        try:
            async with connect(self._own(), context) as roles:
                if await roles.read(params.role) is None:
                    return Undone("the role is gone")
                await roles.alter(params.role, "LOGIN")
        except TargetError as error:
            return Failed(f'{error}; or by hand: ALTER ROLE "{params.role}" LOGIN')
        return Undone(f"the role {params.role} can log in again")

    def _own(self) -> PostgresSettings:
        assert isinstance(self._settings, PostgresSettings)
        return self._settings

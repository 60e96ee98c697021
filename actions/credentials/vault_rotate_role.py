"""`vault.rotate-role`: the password of a static database role to a new one, made and handed out by Vault."""

from typing import Annotated, Any

from msgspec import Meta

from actions.credentials.vault import MissingError, VaultSettings, ask
from actions.support import TargetError, failed, probed, text_of
from engine.action import Action, ActionContext, Params
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

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z"


class VaultRotateRoleParams(Params, frozen=True):
    """Which role."""

    role: Annotated[str, Meta(pattern=_NAME, description="name of the static role")]
    mount: Annotated[str, Meta(pattern=_NAME, description="where the database secrets engine is mounted")] = "database"


class VaultRotateRole(Action[VaultRotateRoleParams]):
    """Has Vault rotate the password of a static role at once; in force when it was rotated since the check.

    Irreversible: a password that may be in strange hands is never made valid again.
    """

    name = "vault.rotate-role"
    params = VaultRotateRoleParams
    settings = VaultSettings
    target_kind = "credential"
    reversible = False
    privileges = (
        "a token with `update` on MOUNT/rotate-role/ROLE and `read` on MOUNT/static-creds/ROLE, whose time of rotation"
        " alone is used; `pip install 'halon[vault]'`"
    )
    example = '{ do = "vault.rotate-role", role = "trainer" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(ask(self._own(), context, lambda client: client.auth.token.lookup_self()))

    async def check(self, params: VaultRotateRoleParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            rotated = await self._rotated(params, context)
        except TargetError as error:
            return failed(error)
        return Plan(
            target=Target("credential", f"vault {params.mount}/{params.role}"),
            would=f"rotate the password of {params.mount}/{params.role}, last rotated {rotated}",
            receipt={"before": rotated},
        )

    async def apply(
        self, params: VaultRotateRoleParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        def rotate(client: Any) -> None:
            client.secrets.database.rotate_static_role_credentials(name=params.role, mount_point=params.mount)

        try:
            if await self._rotated(params, context) != text_of(plan.receipt, "before"):
                return AlreadyInPlace(plan.receipt, "it was rotated since the check")
            await ask(self._own(), context, rotate)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.mount}/{params.role} is rotated")

    async def verify(self, params: VaultRotateRoleParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            rotated = await self._rotated(params, context)
        except TargetError as error:
            return Unknown(str(error))
        text = f"it was last rotated {rotated}"
        return NotInForce(text) if rotated == text_of(receipt, "before") else InForce(text)

    async def _rotated(self, params: VaultRotateRoleParams, context: ActionContext) -> str:
        """When the password was last rotated. Raises TargetError."""

        def read(client: Any) -> str:
            answer = client.secrets.database.get_static_credentials(name=params.role, mount_point=params.mount)
            return str(answer["data"]["last_vault_rotation"])

        try:
            return await ask(self._own(), context, read)
        except MissingError as error:
            raise TargetError(f"{params.mount} has no static role {params.role}; check its name ({error})") from error

    def _own(self) -> VaultSettings:
        assert isinstance(self._settings, VaultSettings)
        return self._settings

"""`vault.revoke-lease`: credentials that Vault made for somebody to ones taken back where they were made."""

from typing import Annotated, Any

from msgspec import Meta

from actions.credentials.vault import MissingError, VaultSettings, ask
from actions.support import TargetError, failed, probed
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


class VaultRevokeLeaseParams(Params, frozen=True):
    """Which lease."""

    lease_id: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9/_.-]{1,255}\Z",
            description="id of the lease, as `database/creds/trainer/x9…`; it is no secret",
        ),
    ]


class VaultRevokeLease(Action[VaultRevokeLeaseParams]):
    """Revokes a lease, so that Vault takes back at once what it gave out under it; in force when the lease is gone.

    A lease that Vault does not know is taken for one that has ended: check the id in the rule's event.

    Irreversible: the user of the lease asks Vault for new credentials.
    """

    name = "vault.revoke-lease"
    params = VaultRevokeLeaseParams
    settings = VaultSettings
    target_kind = "credential"
    reversible = False
    privileges = "a token with `update` on sys/leases/lookup and sys/leases/revoke; `pip install 'halon[vault]'`"
    example = '{ do = "vault.revoke-lease", lease_id = "${event.data.lease_id}" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(ask(self._own(), context, lambda client: client.auth.token.lookup_self()))

    async def check(self, params: VaultRevokeLeaseParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            alive = await self._alive(params, context)
        except TargetError as error:
            return failed(error)
        return Plan(
            target=Target("credential", f"vault {params.lease_id}"),
            would=f"revoke the lease {params.lease_id}",
            receipt={"alive": alive},
            in_place=not alive,
        )

    async def apply(
        self, params: VaultRevokeLeaseParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        def revoke(client: Any) -> None:
            # `sync`: Vault answers when the credentials are taken back, not when it has noted to do so.
            client.adapter.put("/v1/sys/leases/revoke", json={"lease_id": params.lease_id, "sync": True})

        try:
            if not await self._alive(params, context):
                return AlreadyInPlace(plan.receipt, "the lease has ended")
            await ask(self._own(), context, revoke)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.lease_id} is revoked")

    async def verify(self, params: VaultRevokeLeaseParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            alive = await self._alive(params, context)
        except TargetError as error:
            return Unknown(str(error))
        return NotInForce("the lease is valid") if alive else InForce("the lease is gone")

    async def _alive(self, params: VaultRevokeLeaseParams, context: ActionContext) -> bool:
        """Raises TargetError."""
        try:
            await ask(self._own(), context, lambda client: client.sys.read_lease(lease_id=params.lease_id))
        except MissingError:
            return False
        return True

    def _own(self) -> VaultSettings:
        assert isinstance(self._settings, VaultSettings)
        return self._settings

"""`gateway.block-key`: a client's API key at an LLM gateway to one that is refused.

Two kinds of gateway are spoken to: LiteLLM's proxy (`/key/info`, `/key/block`, `/key/unblock`), and any other that has

    PUT BASE/PATH     blocks the key          GET BASE/PATH   2xx: blocked, 404: not
    DELETE BASE/PATH  lets it in again        where PATH is `path` with the key's id in it
"""

from typing import Annotated, Literal

from msgspec import Meta

from actions.support import TargetError, failed, read_secret
from actions.web import Service, part
from engine.action import Action, ActionContext, Params, Settings
from engine.clock import SECOND_US, Duration
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


class GatewayBlockKeyParams(Params, frozen=True):
    """Which key."""

    key_id: Annotated[
        str,
        Meta(
            pattern=r"^(?!sk-)[A-Za-z0-9_.:-]{1,128}\Z",
            description="the key's id, never the key itself; for LiteLLM its hash, `token` in /key/info",
        ),
    ]


class GatewayBlockKeySettings(Settings, frozen=True):
    """The gateway: `kind`, its `url`, the secret with its admin key; `path` (of a generic one) has `{key_id}` in it."""

    kind: Literal["litellm", "generic"] = "litellm"
    url: str = "http://127.0.0.1:4000"
    bearer_secret: str = ""
    path: Annotated[str, Meta(pattern=r"^/[^\s?#]*\{key_id\}[^\s?#]*\Z")] = "/blocked-keys/{key_id}"
    ca_file: str = ""
    timeout: Duration = Duration(10 * SECOND_US)


class GatewayBlockKey(Action[GatewayBlockKeyParams]):
    """Blocks an API key at an LLM gateway, so that requests with it are refused; undo lets it in again.

    The two API shapes are proved against a stand-in, not against a gateway itself.
    """

    name = "gateway.block-key"
    params = GatewayBlockKeyParams
    settings = GatewayBlockKeySettings
    target_kind = "client"
    reversible = True
    privileges = "an admin key of the gateway, as the secret that `bearer_secret` names"
    example = '{ do = "gateway.block-key", key_id = "${event.subject}", hold = "24h" }'

    async def check(self, params: GatewayBlockKeyParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            blocked = await self._blocked(self._service(context), params.key_id)
        except TargetError as error:
            return failed(error)
        return Plan(
            target=Target("client", f"key {params.key_id}", {"gateway": self._own().url}),
            would=f"block the key {params.key_id} at {self._own().url}",
            receipt={"before_blocked": blocked},
            in_place=blocked,
        )

    async def apply(
        self, params: GatewayBlockKeyParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            service = self._service(context)
            if await self._blocked(service, params.key_id):
                return AlreadyInPlace(plan.receipt, "the key is blocked")
            await self._set(service, params.key_id, blocked=True)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"the key {params.key_id} is blocked")

    async def verify(self, params: GatewayBlockKeyParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            blocked = await self._blocked(self._service(context), params.key_id)
        except TargetError as error:
            return Unknown(str(error))
        return InForce("the key is blocked") if blocked else NotInForce("the key is not blocked")

    async def undo(self, params: GatewayBlockKeyParams, receipt: Receipt, context: ActionContext) -> Undoing:
        if receipt.get("before_blocked"):
            return Undone("the key was blocked before; it still is")
        try:
            service = self._service(context)
            if not await self._blocked(service, params.key_id):
                return Undone("the key is not blocked any more")
            await self._set(service, params.key_id, blocked=False)
        except TargetError as error:
            return Failed(f"{error}; or let the key in again by hand")
        return Undone(f"the key {params.key_id} is let in again")

    async def _blocked(self, service: Service, key_id: str) -> bool:
        """Raises TargetError, also where there is no such key."""
        if self._own().kind == "generic":
            answer = await service.call("GET", self._path(key_id))
            if answer.status != 404 and not answer.good:
                raise service.refused(answer, "the state of the key")
            return answer.good
        answer = await service.call("GET", "/key/info", query={"key": key_id})
        info = answer.body.get("info")
        if answer.status == 404 or not isinstance(info, dict):
            raise TargetError(f"the gateway knows no key {key_id} ({answer.status}); give its hash, see /key/list")
        return info.get("blocked") is True

    async def _set(self, service: Service, key_id: str, *, blocked: bool) -> None:
        """Raises TargetError."""
        if self._own().kind == "generic":
            answer = await service.call("PUT" if blocked else "DELETE", self._path(key_id))
        else:
            answer = await service.call("POST", "/key/block" if blocked else "/key/unblock", {"key": key_id})
        if not answer.good:
            raise service.refused(answer, "blocking the key" if blocked else "letting the key in")

    def _service(self, context: ActionContext) -> Service:
        """Raises TargetError."""
        settings = self._own()
        key = read_secret(context, settings.bearer_secret)
        return Service(
            "the gateway",
            settings.url,
            rights="`bearer_secret` must name a secret with an admin key",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            ca_file=settings.ca_file,
            timeout_s=settings.timeout / SECOND_US,
        )

    def _path(self, key_id: str) -> str:
        return self._own().path.format(key_id=part(key_id))

    def _own(self) -> GatewayBlockKeySettings:
        assert isinstance(self._settings, GatewayBlockKeySettings)
        return self._settings

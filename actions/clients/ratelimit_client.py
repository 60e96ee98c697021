"""`ratelimit.client`: a client of what HAProxy serves to a lower rate, or to none at all.

The client gets an entry in a map of HAProxy, whose value is its limit; HAProxy's own config says what a limit means:

    stick-table type string len 64 size 100k expire 1m store http_req_rate(10s)
    http-request track-sc0 req.hdr(x-client)
    http-request set-var(txn.limit) req.hdr(x-client),map(/etc/haproxy/limits.map)
    http-request deny deny_status 429 if { var(txn.limit) -m found } { sc_http_req_rate(0),sub(txn.limit) gt 0 }

HAProxy forgets entries when it is reloaded: the reconciler puts them back.
"""

import re
from typing import Annotated

from msgspec import Meta

from actions.endpoints.haproxy import HaproxySettings, command
from actions.support import TargetError, failed, probed, text_of
from engine.action import Action, ActionContext, Params
from engine.model import (
    AlreadyInPlace,
    Applied,
    Conflict,
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

_FOUND = re.compile(r'found=yes.*?key="(?P<key>[^"]*)", (?:value|val)="(?P<value>[^"]*)"')


class RatelimitClientParams(Params, frozen=True):
    """Which client to which limit."""

    client: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9_.:@/-]{1,256}\Z", description="the client as the map's keys are: name, address")
    ]
    limit: Annotated[
        int, Meta(ge=0, le=1_000_000_000, description="requests in the period of HAProxy's config; 0 refuses all")
    ] = 0


class RatelimitClientSettings(HaproxySettings, frozen=True):
    """`socket`: a `stats socket` of HAProxy; `map`: the file of the map, as HAProxy's config names it, or its `#ID`."""

    map: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:@/#-]{1,512}\Z")] = "/etc/haproxy/limits.map"


class RatelimitClient(Action[RatelimitClientParams]):
    """Limits the rate of a client at HAProxy by an entry in a map; undo gives it the limit back that it had."""

    name = "ratelimit.client"
    params = RatelimitClientParams
    settings = RatelimitClientSettings
    target_kind = "client"
    reversible = True
    privileges = "read and write a stats socket of HAProxy, whose config must use the map"
    example = '{ do = "ratelimit.client", client = "client-7", limit = 20, hold = "6h" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(command(self._own().socket, f"show map {self._own().map}"))

    async def check(self, params: RatelimitClientParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            found = await self._limit(params.client)
        except TargetError as error:
            return failed(error)
        return Plan(
            target=Target("client", params.client, {"map": self._own().map}),
            would=f"limit {params.client} to {params.limit} (now {found or 'no limit'})",
            receipt={"before": found},
            in_place=_limits(found, params),
        )

    async def apply(
        self, params: RatelimitClientParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            found = await self._limit(params.client)
            if _limits(found, params):
                return AlreadyInPlace(plan.receipt, f"{params.client} is limited to {found}")
            await self._set(params.client, found, str(params.limit))
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.client} is limited to {params.limit}")

    async def verify(self, params: RatelimitClientParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            found = await self._limit(params.client)
        except TargetError as error:
            return Unknown(str(error))
        if _limits(found, params):
            return InForce(f"{params.client} is limited to {found}")
        return NotInForce(f"{params.client} has {f'the limit {found}' if found else 'no limit'}")

    async def undo(self, params: RatelimitClientParams, receipt: Receipt, context: ActionContext) -> Undoing:
        before = text_of(receipt, "before")
        try:
            found = await self._limit(params.client)
            if found == before:
                return Undone(f"{params.client} has {before or 'no limit'} already")
            if found != str(params.limit):
                return Conflict(f"someone set the limit of {params.client} to {found or 'none'} since; left as it is")
            await self._set(params.client, found, before)
        except TargetError as error:
            by_hand = f"{'set' if before else 'del'} map {self._own().map} {params.client} {before}".strip()
            return Failed(f"{error}; or do it by hand: {by_hand}")
        return Undone(f"{params.client} has {before or 'no limit'} again")

    async def _limit(self, client: str) -> str:
        """The value of the client's own entry; empty where it has none. Raises TargetError."""
        settings = self._own()
        answer = await command(settings.socket, f"get map {settings.map} {client}")
        if "found=no" in answer:
            return ""
        match = _FOUND.search(answer)
        if match is None:
            raise TargetError(f"HAProxy: {answer[:200] or 'no answer'}; `map` must name a map that its config uses")
        # A map of networks or prefixes answers with the entry that covers the client: that one is not the client's own.
        return match["value"] if match["key"] in {client, f"{client}/32", f"{client}/128"} else ""

    async def _set(self, client: str, before: str, value: str) -> None:
        """Raises TargetError."""
        settings = self._own()
        verb = "del" if not value else "set" if before else "add"
        answer = await command(settings.socket, f"{verb} map {settings.map} {client} {value}".strip())
        if answer:
            raise TargetError(f"HAProxy refused: {answer[:200]}; see the limits of its config")

    def _own(self) -> RatelimitClientSettings:
        assert isinstance(self._settings, RatelimitClientSettings)
        return self._settings


def _limits(found: str, params: RatelimitClientParams) -> bool:
    """Whether an entry is the wanted limit, or a stricter one."""
    return found.isdigit() and int(found) <= params.limit

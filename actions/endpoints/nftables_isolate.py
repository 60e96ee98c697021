"""`nftables.isolate`: an endpoint's address, or one port of it, to one that nobody reaches and that reaches nobody.

Both ways, through this machine or on it; established connections are cut. Forensics keep their way in: `allow`.
"""

import ipaddress
from typing import Annotated, Literal

from msgspec import Meta

from actions.endpoints import nftables
from actions.support import TargetError, failed, probed, text_of
from engine.action import Action, ActionContext, Params, Settings
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


class NftablesIsolateParams(Params, frozen=True):
    """What to cut off."""

    address: Annotated[str, Meta(min_length=2, max_length=45, description="IPv4 or IPv6 address of the endpoint")]
    port: Annotated[int, Meta(ge=1, le=65_535, description="only this port of it; left out: the whole host")] | None = (
        None
    )
    protocol: Annotated[Literal["tcp", "udp"], Meta(description="of the port")] = "tcp"


class NftablesIsolateSettings(Settings, frozen=True):
    """`allow`: networks that still reach what is isolated. `pools`: endpoints by pool, to know what share still serves.

    `netns`: a network namespace in which to act; empty: the one of halond.
    """

    allow: tuple[str, ...] = ()
    pools: dict[str, tuple[str, ...]] = {}
    netns: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]*\Z")] = ""


class NftablesIsolate(Action[NftablesIsolateParams]):
    """Cuts an address, or one port of it, off the network on this machine; undo lets it back."""

    name = "nftables.isolate"
    params = NftablesIsolateParams
    settings = NftablesIsolateSettings
    target_kind = "endpoint"
    reversible = True
    privileges = "CAP_NET_ADMIN, on the machine that the traffic passes, and the `nft` program"
    example = '{ do = "nftables.isolate", address = "192.0.2.7", port = 8000, hold = "24h" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(nftables.read(self._own().netns))

    async def check(self, params: NftablesIsolateParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        try:
            address = ipaddress.ip_address(params.address)
            _networks(settings.allow)
        except ValueError as error:
            return Failed(f"{error}; names are not resolved, since an attacker may own the answer")
        if address.is_loopback or address.is_multicast or address.is_unspecified:
            return Refused(f"{address} is no endpoint; isolating it would cut this machine off from itself")
        if params.port is None and not settings.netns and await nftables.is_own(address):
            return Refused(f"{address} is this machine, which would cut Halon off its broker; give a `port`")
        name, member = nftables.element(address, params.port, params.protocol)
        try:
            sets = await nftables.read(settings.netns)
        except TargetError as error:
            return failed(error)
        there = sets is not None and member in sets[name]
        pool, share = self._share(params.address, sets or {})
        return Plan(
            target=Target("endpoint", member, {"pool": pool} if pool else {}),
            would=f"cut {member} off, both ways"
            + (f"; allowed: {', '.join(settings.allow)}" if settings.allow else ""),
            receipt={"set": name, "element": member, "before": there},
            in_place=there,
            serving_share_after=share,
        )

    async def apply(
        self, params: NftablesIsolateParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        settings, name, member = self._own(), text_of(plan.receipt, "set"), text_of(plan.receipt, "element")
        try:
            sets = await nftables.read(settings.netns)
            if sets is not None and member in sets[name]:
                return AlreadyInPlace(plan.receipt, f"{member} is cut off")
            script = nftables.base_script(_networks(settings.allow))
            script += f'add element {nftables.TABLE} {name} {{ {member} comment "{context.intent}" }}\n'
            await nftables.change(script, settings.netns)
        except TargetError as error:
            return failed(error)
        return Applied({**plan.receipt, "comment": context.intent}, f"{member} is cut off")

    async def verify(self, params: NftablesIsolateParams, receipt: Receipt, context: ActionContext) -> Verification:
        member = text_of(receipt, "element")
        try:
            sets = await nftables.read(self._own().netns)
        except TargetError as error:
            return Unknown(str(error))
        if sets is None:
            return NotInForce(f"the nftables table `{nftables.TABLE}` is not there, or was changed")
        if member not in sets.get(text_of(receipt, "set"), {}):
            return NotInForce(f"{member} is not cut off")
        return InForce(f"{member} is cut off")

    async def undo(self, params: NftablesIsolateParams, receipt: Receipt, context: ActionContext) -> Undoing:
        name, member = text_of(receipt, "set"), text_of(receipt, "element")
        if receipt.get("before"):
            return Undone(f"{member} was cut off before; it still is")
        try:
            sets = await nftables.read(self._own().netns)
            comment = (sets or {}).get(name, {}).get(member)
            if comment is None:
                return Undone(f"{member} was let back already")
            if comment != text_of(receipt, "comment") and text_of(receipt, "comment"):
                return Conflict(f"someone else has cut {member} off since ({comment or 'no comment'}); left as it is")
            await nftables.change(f"delete element {nftables.TABLE} {name} {{ {member} }}\n", self._own().netns)
        except TargetError as error:
            return Failed(f"{error}; let it back by hand: nft delete element {nftables.TABLE} {name} '{{ {member} }}'")
        return Undone(f"{member} is reachable again")

    def _own(self) -> NftablesIsolateSettings:
        assert isinstance(self._settings, NftablesIsolateSettings)
        return self._settings

    def _share(self, address: str, sets: dict[str, dict[str, str]]) -> tuple[str, float | None]:
        """The pool that the address is in, and the share of it that still serves when the address is cut off."""
        cut = {each.partition(" ")[0] for name, members in sets.items() if name[0] in "hp" for each in members}
        for pool, members in self._own().pools.items():
            if address in members:
                return pool, sum(each not in cut and each != address for each in members) / len(members)
        return "", None


def _networks(texts: tuple[str, ...]) -> list[nftables.Network]:
    return [ipaddress.ip_network(each, strict=False) for each in texts]

"""`haproxy.drain`: a server behind HAProxy to one that gets no new connections; established ones go on.

Use `haproxy.disable` to cut those too.
"""

import asyncio
from typing import ClassVar

from actions.endpoints import haproxy
from actions.support import TargetError, failed, probed, text_of
from engine.action import Action, ActionContext
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

_SETTLE_STEP_S = 0.02
_SETTLE_STEPS_MAX = 100


class HaproxyDrain(Action[haproxy.ServerParams]):
    """Sends no new connections to a server; undo sets it back to what it was."""

    name = "haproxy.drain"
    params = haproxy.ServerParams
    settings = haproxy.HaproxySettings
    target_kind = "endpoint"
    reversible = True
    privileges = "read and write HAProxy's admin socket (`stats socket … level admin`)"
    example = '{ do = "haproxy.drain", backend = "inference", server = "gpu-3", hold = "1h" }'
    state: ClassVar[str] = "drain"
    cuts: ClassVar[bool] = False

    async def probe(self, context: ActionContext) -> str:
        return await probed(haproxy.command(self._socket, "show info"))

    async def check(self, params: haproxy.ServerParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            pool = await haproxy.servers(self._socket, params.backend)
            found = pool.get(params.server)
            if found is None:
                known = ", ".join(sorted(pool)[:10])
                return Failed(f"backend `{params.backend}` has no server `{params.server}`; it has {known}")
            in_place = await self._in_force(params, found)
        except TargetError as error:
            return failed(error)
        left = sum(each.serves for each in pool.values() if each.name != params.server)
        return Plan(
            target=Target("endpoint", f"{params.backend}/{params.server}", {"pool": params.backend}),
            would=f"set {params.backend}/{params.server} from {found.state} to {self.state}",
            receipt={"before": found.state},
            in_place=in_place,
            serving_share_after=left / len(pool),
        )

    async def apply(
        self, params: haproxy.ServerParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            found = (await haproxy.servers(self._socket, params.backend)).get(params.server)
            if found is not None and await self._in_force(params, found):
                return AlreadyInPlace(plan.receipt, f"{params.server} is in {self.state}")
            await haproxy.set_state(self._socket, params, self.state)
            if self.cuts:
                await haproxy.cut_sessions(self._socket, params)
                for _ in range(_SETTLE_STEPS_MAX):  # closing them takes HAProxy a moment; verify is what judges
                    if not await haproxy.sessions(self._socket, params):
                        break
                    await asyncio.sleep(_SETTLE_STEP_S)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.backend}/{params.server} is set to {self.state}")

    async def verify(self, params: haproxy.ServerParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            found = (await haproxy.servers(self._socket, params.backend)).get(params.server)
            if found is not None and await self._in_force(params, found):
                return InForce(f"{params.backend}/{params.server} is in {found.state}")
        except TargetError as error:
            return Unknown(str(error))
        return NotInForce(f"{params.backend}/{params.server} is " + (found.state if found else "gone"))

    async def undo(self, params: haproxy.ServerParams, receipt: Receipt, context: ActionContext) -> Undoing:
        before = text_of(receipt, "before")
        try:
            found = (await haproxy.servers(self._socket, params.backend)).get(params.server)
            if found is None or found.state == before:
                return Undone(f"{params.backend}/{params.server} is {before if found else 'gone'} already")
            if found.state != self.state:
                return Conflict(f"someone set {params.backend}/{params.server} to {found.state} since; left as it is")
            await haproxy.set_state(self._socket, params, before)
        except TargetError as error:
            command = f"set server {params.backend}/{params.server} state {before}"
            return Failed(f"{error}; or set it back by hand: {command}")
        return Undone(f"{params.backend}/{params.server} is {before} again")

    async def _in_force(self, params: haproxy.ServerParams, found: haproxy.Server) -> bool:
        if not self.cuts:
            return found.state != "ready"  # in maintenance it gets no new connections either
        return found.state == self.state and await haproxy.sessions(self._socket, params) == 0

    @property
    def _socket(self) -> str:
        assert isinstance(self._settings, haproxy.HaproxySettings)
        return self._settings.socket

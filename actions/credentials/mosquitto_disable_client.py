"""`mosquitto.disable-client`: a client of a mosquitto broker to one that is cut and not let in again."""

from actions.credentials.mosquitto import ClientParams, MosquittoSettings, connect
from actions.support import TargetError, failed
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


class MosquittoDisableClient(Action[ClientParams]):
    """Cuts a client and keeps it out; undo lets it in again."""

    name = "mosquitto.disable-client"
    params = ClientParams
    settings = MosquittoSettings
    target_kind = "credential"
    reversible = True
    privileges = "a client of the broker that may publish and subscribe `$CONTROL/dynamic-security/#`"
    example = '{ do = "mosquitto.disable-client", client = "trainer", hold = "24h" }'

    async def check(self, params: ClientParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        if params.client == settings.user:
            return Refused(f"`{params.client}` is the client that Halon itself uses; it could not undo this")
        try:
            async with connect(settings, context) as control:
                disabled = await control.disabled(params.client)
        except TargetError as error:
            return failed(error)
        if disabled is None:
            return Failed(f"the broker has no client `{params.client}`; mosquitto_ctrl dynsec listClients shows them")
        return Plan(
            target=Target("credential", f"mosquitto {settings.host}:{settings.port} {params.client}"),
            would=f"cut the client {params.client} and keep it out",
            receipt={"before_disabled": disabled},
            in_place=disabled,
        )

    async def apply(
        self, params: ClientParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            async with connect(self._own(), context) as control:
                if await control.disabled(params.client):
                    return AlreadyInPlace(plan.receipt, f"{params.client} is kept out")
                await control.set_disabled(params.client, disabled=True)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.client} is cut and kept out")

    async def verify(self, params: ClientParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            async with connect(self._own(), context) as control:
                disabled = await control.disabled(params.client)
        except TargetError as error:
            return Unknown(str(error))
        if disabled is False:
            return NotInForce(f"{params.client} is let in")
        return InForce(f"{params.client} is kept out" if disabled else f"{params.client} is gone")

    async def undo(self, params: ClientParams, receipt: Receipt, context: ActionContext) -> Undoing:
        if receipt.get("before_disabled"):
            return Undone("the client was kept out before; it still is")
        try:
            async with connect(self._own(), context) as control:
                if await control.disabled(params.client) is None:
                    return Undone("the client is gone")
                await control.set_disabled(params.client, disabled=False)
        except TargetError as error:
            return Failed(f"{error}; or by hand: mosquitto_ctrl dynsec enableClient {params.client}")
        return Undone(f"{params.client} is let in again")

    def _own(self) -> MosquittoSettings:
        assert isinstance(self._settings, MosquittoSettings)
        return self._settings

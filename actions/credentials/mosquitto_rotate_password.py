"""`mosquitto.rotate-password`: a client's password that may have leaked, to a new one that it already has.

A client has one password, so the old one ends the moment the new one is set, and its connection is cut; the new one is
put where it reads it right after. The broker does not show passwords: verify logs in with the new one.
"""

from actions.credentials.handover import Handover, fingerprint
from actions.credentials.mosquitto import ClientParams, MosquittoRotateSettings, connect, lets_in
from actions.support import TargetError, failed, text_of
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


class MosquittoRotatePassword(Action[ClientParams]):
    """Gives a client a new password, hands it over, and cuts the connection of the old one.

    Irreversible: a password that may be in strange hands is never made valid again, and it is not kept.
    """

    name = "mosquitto.rotate-password"
    params = ClientParams
    settings = MosquittoRotateSettings
    target_kind = "credential"
    reversible = False
    privileges = "as `mosquitto.disable-client`; write access to the folder of the client's password file"
    example = '{ do = "mosquitto.rotate-password", client = "trainer" }'

    async def check(self, params: ClientParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        if params.client == settings.user:
            return Refused(f"`{params.client}` is the client that Halon itself uses; rotate it by hand")
        try:
            handover = Handover(settings, params.client, context)
            old = handover.current()
            async with connect(settings, context) as control:
                disabled = await control.disabled(params.client)
        except TargetError as error:
            return failed(error)
        if disabled is None:
            return Failed(f"the broker has no client `{params.client}`; mosquitto_ctrl dynsec listClients shows them")
        if disabled:
            return Refused(f"`{params.client}` is kept out, so that a new password could not be tried; enable it first")
        return Plan(
            target=Target("credential", f"mosquitto {settings.host}:{settings.port} {params.client}"),
            would=f"give {params.client} a new password in {handover.path} and cut its connection",
            receipt={"salt": context.intent, "old": fingerprint(context.intent, old or "")},
        )

    async def apply(
        self, params: ClientParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            handover = Handover(self._own(), params.client, context)
            if not await self._why_not(params, handover, plan.receipt):
                return AlreadyInPlace(plan.receipt, "the old password was ended already")
            async with connect(self._own(), context) as control:
                await control.set_password(params.client, handover.stage())
                handover.deliver()
                handover.finish()
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.client} has a new password in {handover.path}; it was cut")

    async def verify(self, params: ClientParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            handover = Handover(self._own(), params.client, context)
            why = await self._why_not(params, handover, receipt)
        except TargetError as error:
            return Unknown(str(error))
        return NotInForce(why) if why else InForce(f"the broker takes the new password in {handover.path}")

    async def _why_not(self, params: ClientParams, handover: Handover, receipt: Receipt) -> str:
        """Why the rotation is not in force; empty where it is."""
        password = handover.current() or ""
        if handover.staged() is not None:
            return "the rotation was interrupted before it was whole"
        if fingerprint(text_of(receipt, "salt"), password) == text_of(receipt, "old"):
            return f"{handover.path} holds the old password"
        if not await lets_in(self._own(), params.client, password):
            return f"the broker takes another password than the one in {handover.path}"
        return "" if handover.private() else f"{handover.path} can be read by others"

    def _own(self) -> MosquittoRotateSettings:
        assert isinstance(self._settings, MosquittoRotateSettings)
        return self._settings

"""`redis.rotate-password`: an account's password that may have leaked, to a new one that its user already has.

Phase one: the new password is staged and added to the account, so that old and new work; then it is moved to where its
user reads it. Phase two: every other password is taken from the account, and connections made with them are closed.
"""

import secrets

from actions.credentials.handover import Handover, fingerprint
from actions.credentials.redis import RedisRotateSettings, User, UserParams, connect
from actions.support import TargetError, failed, probed, reached, sha256, text_of
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


class RedisRotatePassword(Action[UserParams]):
    """Gives an account a new password, hands it to its user, and ends the old one with its connections.

    Irreversible: a password that may be in strange hands is never made valid again, and it is not kept.
    """

    name = "redis.rotate-password"
    params = UserParams
    settings = RedisRotateSettings
    target_kind = "credential"
    reversible = False
    privileges = "as `redis.disable-user`; write access to the folder of the account's password file"
    example = '{ do = "redis.rotate-password", user = "trainer" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(reached(connect(self._own(), context)))

    async def check(self, params: UserParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        if params.user == settings.user:
            return Refused(f"`{params.user}` is the account that Halon itself uses; rotate it by hand")
        try:
            handover = Handover(settings, params.user, context)
            handover.current()
            async with connect(settings, context) as acl:
                user = await acl.user(params.user)
        except TargetError as error:
            return failed(error)
        if user is None:
            return Failed(f"Redis has no account `{params.user}`; ACL LIST shows them")
        salt = secrets.token_hex(8)
        return Plan(
            target=Target("credential", f"redis {settings.host}:{settings.port} {params.user}"),
            would=f"give {params.user} a new password in {handover.path} and end {len(user.passwords)} old ones",
            receipt={"salt": salt, "old": [fingerprint(salt, each) for each in user.passwords]},
        )

    async def apply(
        self, params: UserParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            handover = Handover(self._own(), params.user, context)
            async with connect(self._own(), context) as acl:
                user = await acl.user(params.user)
                if user is not None and not _why_not(user, handover, plan.receipt):
                    return AlreadyInPlace(plan.receipt, "the old passwords were ended already")
                password = handover.stage()
                await acl.set_user(params.user, f">{password}")
                handover.deliver()
                await acl.set_user_and_cut(params.user, "resetpass", f">{password}")
                await acl.save()
                handover.finish()
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.user} has a new password in {handover.path}; the old ones are ended")

    async def verify(self, params: UserParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            handover = Handover(self._own(), params.user, context)
            async with connect(self._own(), context) as acl:
                user = await acl.user(params.user)
            why = _why_not(user, handover, receipt) if user else "the account is gone"
        except TargetError as error:
            return Unknown(str(error))
        return NotInForce(why) if why else InForce(f"only the new password in {handover.path} is valid")

    def _own(self) -> RedisRotateSettings:
        assert isinstance(self._settings, RedisRotateSettings)
        return self._settings


def _why_not(user: User, handover: Handover, receipt: Receipt) -> str:
    """Why the rotation is not in force; empty where it is."""
    digest, old = sha256((handover.current() or "").encode()), receipt.get("old")
    if handover.staged() is not None:
        return "the rotation was interrupted before the old password was ended"
    if user.nopass:
        return "the account takes any password"
    if not isinstance(old, list) or fingerprint(text_of(receipt, "salt"), digest) in old:
        return f"{handover.path} holds the old password"
    if user.passwords != (digest,):
        return f"the account takes other passwords than the one in {handover.path}"
    return "" if handover.private() else f"{handover.path} can be read by others"

"""`redis.rotate-password`: an account's password that may have leaked, to a new one that its user already has.

Phase one: the new password is staged and added to the account, so that old and new work; then it is moved to where its
user reads it. Phase two: every other password is taken from the account, and connections made with them are closed.
"""

import secrets

from actions.credentials.handover import AccountParams, Handover, fingerprint
from actions.credentials.redis import RedisRotateSettings, User, connect
from actions.support import TargetError, failed, sha256, text_of
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


class RedisRotatePassword(Action[AccountParams]):
    """Gives an account a new password, hands it to its user, and ends the old one with its connections.

    Irreversible: a password that may be in strange hands is never made valid again, and it is not kept.
    """

    name = "redis.rotate-password"
    params = AccountParams
    settings = RedisRotateSettings
    target_kind = "credential"
    reversible = False
    privileges = "as `redis.disable-user`; write access to the folder of the account's password file"
    example = '{ do = "redis.rotate-password", account = "trainer" }'

    async def check(self, params: AccountParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        if params.account == settings.user:
            return Refused(f"`{params.account}` is the account that Halon itself uses; rotate it by hand")
        try:
            handover = Handover(settings, params.account, context)
            handover.current()
            async with connect(settings, context) as acl:
                user = await acl.user(params.account)
        except TargetError as error:
            return failed(error)
        if user is None:
            return Failed(f"Redis has no account `{params.account}`; ACL LIST shows them")
        salt = secrets.token_hex(8)
        return Plan(
            target=Target("credential", f"redis {settings.host}:{settings.port} {params.account}"),
            would=f"give {params.account} a new password in {handover.path} and end {len(user.passwords)} old ones",
            receipt={"salt": salt, "old": [fingerprint(salt, each) for each in user.passwords]},
        )

    async def apply(
        self, params: AccountParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            handover = Handover(self._own(), params.account, context)
            async with connect(self._own(), context) as acl:
                user = await acl.user(params.account)
                if user is not None and not _why_not(user, handover, plan.receipt):
                    return AlreadyInPlace(plan.receipt, "the old passwords were ended already")
                current = handover.current()
                # Delivered already, by a run that was interrupted before it ended the old ones?
                fresh = current is not None and user is not None and sha256(current.encode()) in user.passwords
                if handover.staged() is not None or not fresh or _is_old(user, current, plan.receipt):
                    await acl.set_user(params.account, f">{handover.stage()}")
                    handover.deliver()
                    current = handover.current()
                await acl.set_user_and_cut(params.account, "resetpass", f">{current}")
                await acl.save()
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.account} has a new password in {handover.path}; the old ones are ended")

    async def verify(self, params: AccountParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            handover = Handover(self._own(), params.account, context)
            async with connect(self._own(), context) as acl:
                user = await acl.user(params.account)
            why = _why_not(user, handover, receipt) if user else "the account is gone"
        except TargetError as error:
            return Unknown(str(error))
        return NotInForce(why) if why else InForce(f"only the new password in {handover.path} is valid")

    def _own(self) -> RedisRotateSettings:
        assert isinstance(self._settings, RedisRotateSettings)
        return self._settings


def _is_old(user: User | None, password: str | None, receipt: Receipt) -> bool:
    old = receipt.get("old")
    digest = sha256((password or "").encode())
    return user is None or (isinstance(old, list) and fingerprint(text_of(receipt, "salt"), digest) in old)


def _why_not(user: User, handover: Handover, receipt: Receipt) -> str:
    """Why the rotation is not in force; empty where it is."""
    password = handover.current() or ""
    if user.nopass:
        return "the account takes any password"
    if _is_old(user, password, receipt):
        return f"{handover.path} holds the old password"
    if user.passwords != (sha256(password.encode()),):
        return f"the account takes other passwords than the one in {handover.path}"
    return "" if handover.private() else f"{handover.path} can be read by others"

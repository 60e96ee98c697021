"""`redis.disable-user`: an account of a Redis server to one that can't log in, its connections closed."""

from actions.credentials.handover import AccountParams
from actions.credentials.redis import RedisSettings, connect
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


class RedisDisableUser(Action[AccountParams]):
    """Turns an account off and closes its connections; undo turns it on again."""

    name = "redis.disable-user"
    params = AccountParams
    settings = RedisSettings
    target_kind = "credential"
    reversible = True
    privileges = "a Redis account with `+acl|getuser +acl|setuser +acl|save +client|kill +client|list +ping`"
    example = '{ do = "redis.disable-user", account = "trainer", hold = "24h" }'

    async def check(self, params: AccountParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        if params.account == settings.user:
            return Refused(f"`{params.account}` is the account that Halon itself uses; it could not undo this")
        try:
            async with connect(settings, context) as acl:
                user = await acl.user(params.account)
                if user is None:
                    return Failed(f"Redis has no account `{params.account}`; ACL LIST shows them")
                sessions = await acl.sessions(params.account)
        except TargetError as error:
            return failed(error)
        return Plan(
            target=Target("credential", f"redis {settings.host}:{settings.port} {params.account}"),
            would=f"turn the account {params.account} off and close its {sessions} connections",
            receipt={"before_on": user.on},
            in_place=not user.on and not sessions,
        )

    async def apply(
        self, params: AccountParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            async with connect(self._own(), context) as acl:
                user = await acl.user(params.account)
                if user is not None and not user.on and not await acl.sessions(params.account):
                    return AlreadyInPlace(plan.receipt, "the account is off")
                await acl.set_user_and_cut(params.account, "off")
                await acl.save()
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"the account {params.account} is off")

    async def verify(self, params: AccountParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            async with connect(self._own(), context) as acl:
                user, sessions = await acl.user(params.account), await acl.sessions(params.account)
        except TargetError as error:
            return Unknown(str(error))
        if user is not None and user.on:
            return NotInForce(f"the account {params.account} is on")
        if sessions:
            return NotInForce(f"{sessions} connections of {params.account} are open")
        return InForce(f"the account {params.account} is off")

    async def undo(self, params: AccountParams, receipt: Receipt, context: ActionContext) -> Undoing:
        if not receipt.get("before_on"):
            return Undone("the account was off before; it still is")
        try:
            async with connect(self._own(), context) as acl:
                if await acl.user(params.account) is None:
                    return Undone("the account is gone")
                await acl.set_user(params.account, "on")
                await acl.save()
        except TargetError as error:
            return Failed(f"{error}; or turn it on by hand: ACL SETUSER {params.account} on")
        return Undone(f"the account {params.account} is on again")

    def _own(self) -> RedisSettings:
        assert isinstance(self._settings, RedisSettings)
        return self._settings

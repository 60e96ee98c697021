"""`redis.disable-user`: an account of a Redis server to one that can't log in, its connections closed."""

from actions.credentials.redis import RedisSettings, UserParams, connect
from actions.support import TargetError, failed, probed, reached
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


class RedisDisableUser(Action[UserParams]):
    """Turns an account off and closes its connections; undo turns it on again."""

    name = "redis.disable-user"
    params = UserParams
    settings = RedisSettings
    target_kind = "credential"
    reversible = True
    privileges = "a Redis account with `+acl|getuser +acl|setuser +acl|save +client|kill +client|list +ping`"
    example = '{ do = "redis.disable-user", user = "trainer", hold = "24h" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(reached(connect(self._own(), context)))

    async def check(self, params: UserParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        if params.user == settings.user:
            return Refused(f"`{params.user}` is the account that Halon itself uses; it could not undo this")
        try:
            async with connect(settings, context) as acl:
                user = await acl.user(params.user)
                if user is None:
                    return Failed(f"Redis has no account `{params.user}`; ACL LIST shows them")
                sessions = await acl.sessions(params.user)
        except TargetError as error:
            return failed(error)
        return Plan(
            target=Target("credential", f"redis {settings.host}:{settings.port} {params.user}"),
            would=f"turn the account {params.user} off and close its {sessions} connections",
            receipt={"before_on": user.on},
            in_place=not user.on and not sessions,
        )

    async def apply(
        self, params: UserParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            async with connect(self._own(), context) as acl:
                user = await acl.user(params.user)
                if user is not None and not user.on and not await acl.sessions(params.user):
                    return AlreadyInPlace(plan.receipt, "the account is off")
                await acl.set_user_and_cut(params.user, "off")
                await acl.save()
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"the account {params.user} is off")

    async def verify(self, params: UserParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            async with connect(self._own(), context) as acl:
                user, sessions = await acl.user(params.user), await acl.sessions(params.user)
        except TargetError as error:
            return Unknown(str(error))
        if user is not None and user.on:
            return NotInForce(f"the account {params.user} is on")
        if sessions:
            return NotInForce(f"{sessions} connections of {params.user} are open")
        return InForce(f"the account {params.user} is off")

    async def undo(self, params: UserParams, receipt: Receipt, context: ActionContext) -> Undoing:
        if not receipt.get("before_on"):
            return Undone("the account was off before; it still is")
        try:
            async with connect(self._own(), context) as acl:
                if await acl.user(params.user) is None:
                    return Undone("the account is gone")
                await acl.set_user(params.user, "on")
                await acl.save()
        except TargetError as error:
            return Failed(f"{error}; or turn it on by hand: ACL SETUSER {params.user} on")
        return Undone(f"the account {params.user} is on again")

    def _own(self) -> RedisSettings:
        assert isinstance(self._settings, RedisSettings)
        return self._settings

"""Accounts of a Redis server by its ACL commands, through redis-py. Used by the `redis.*` actions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from msgspec import Meta

from actions.credentials.handover import ACCOUNT, HandoverSettings
from actions.support import TargetError, library, read_secret
from engine.action import ActionContext, Params, Settings
from engine.model import Struct

_TIMEOUT_S = 5.0


class UserParams(Params, frozen=True):
    """The account at the server."""

    user: Annotated[str, Meta(pattern=ACCOUNT, description="name of the account, as ACL LIST shows it")]


class RedisSettings(Settings, frozen=True):
    """The server, and an account that may run the ACL commands; `password_secret` names halond's secret."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 6379
    user: str = "default"
    password_secret: str = ""
    tls: bool = False
    ca_file: str = ""


class RedisRotateSettings(HandoverSettings, frozen=True):
    """As for `redis.disable-user`; `files` says for each account in which file its user reads its password."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 6379
    user: str = "default"
    password_secret: str = ""
    tls: bool = False
    ca_file: str = ""


class User(Struct, frozen=True):
    """An account: whether it may log in, and the SHA-256 hashes of its passwords as Redis keeps them."""

    on: bool
    passwords: tuple[str, ...]
    nopass: bool


class Acl:
    """The ACL commands of one connection. Every method raises TargetError."""

    def __init__(self, client: Any, errors: type[Exception]) -> None:
        self._client = client
        self._errors = errors

    async def user(self, name: str) -> User | None:
        """The account, or None where there is none."""
        raw = await self._run("ACL", "GETUSER", name)
        if raw is None:
            return None
        fields = raw if isinstance(raw, dict) else dict(zip(raw[::2], raw[1::2], strict=True))
        return User("on" in fields["flags"], tuple(fields["passwords"]), "nopass" in fields["flags"])

    async def set_user(self, name: str, *rules: str) -> None:
        """Applies ACL rules to an account, in one step."""
        await self._run("ACL", "SETUSER", name, *rules)

    async def save(self) -> None:
        """Makes accounts survive a restart of the server, where it keeps them in a file."""
        try:
            await self._client.execute_command("ACL", "SAVE")
        except self._errors:
            return  # it keeps them in redis.conf or nowhere; the running server is what was asked for

    async def set_user_and_cut(self, name: str, *rules: str) -> None:
        """The same, and closes the connections of the account: both or neither, whenever this is interrupted."""
        try:
            async with self._client.pipeline(transaction=True) as transaction:
                transaction.execute_command("ACL", "SETUSER", name, *rules)
                transaction.execute_command("CLIENT", "KILL", "USER", name)
                await transaction.execute()
        except self._errors as error:
            raise TargetError(f"Redis refused to change `{name}`: {_one_line(error)}") from error

    async def sessions(self, name: str) -> int:
        """How many connections an account has."""
        listed = str(await self._run("CLIENT", "LIST"))
        return sum(f" user={name} " in f"{line} " for line in listed.splitlines())

    async def _run(self, *command: str) -> Any:
        try:
            return await self._client.execute_command(*command)
        except self._errors as error:
            raise TargetError(f"Redis refused {command[0]} {command[1]}: {_one_line(error)}") from error


@asynccontextmanager
async def connect(settings: RedisSettings | RedisRotateSettings, context: ActionContext) -> AsyncIterator[Acl]:
    """A connection with the account of the settings. Raises TargetError."""
    redis = library("redis.asyncio", extra="redis")
    client = redis.Redis(
        host=settings.host,
        port=settings.port,
        username=settings.user,
        password=read_secret(context, settings.password_secret) or None,
        ssl=settings.tls,
        ssl_ca_certs=settings.ca_file or None,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        decode_responses=True,
        single_connection_client=True,
        retry=None,
    )
    where = f"Redis at {settings.host}:{settings.port}"
    try:
        try:
            await client.ping()
        except redis.AuthenticationError as error:
            raise TargetError(f"{where} refused `{settings.user}`; set `user` and `password_secret`") from error
        except redis.RedisError as error:
            raise TargetError(
                f"{where} is not reachable: {_one_line(error)}; see whether it runs", retryable=True
            ) from error
        yield Acl(client, redis.RedisError)
    finally:
        await client.aclose()


def _one_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]

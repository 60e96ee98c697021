"""Roles of a PostgreSQL server, through psycopg. Used by the `postgres.*` actions.

New passwords are sent as SCRAM-SHA-256 verifiers (RFC 5803), so that no password ever stands in a statement or its log.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from msgspec import Meta

from actions.credentials.handover import ACCOUNT, HandoverSettings
from actions.support import TargetError, library, read_secret
from engine.action import ActionContext, Params, Settings
from engine.model import Struct

_TIMEOUT_S = 5
_ITERATIONS = 4096
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


class RoleParams(Params, frozen=True):
    """The account at the server."""

    role: Annotated[str, Meta(pattern=ACCOUNT, description="name of the role")]


class PostgresSettings(Settings, frozen=True):
    """The server (a host name, or the folder of its socket), and a role that may alter others."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 5432
    database: str = "postgres"
    user: str = "halon"
    password_secret: str = ""
    ssl_mode: SslMode = "prefer"


class PostgresRotateSettings(HandoverSettings, frozen=True):
    """As for `postgres.disable-login`; `files` says for each role in which file its user reads its password."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 5432
    database: str = "postgres"
    user: str = "halon"
    password_secret: str = ""
    ssl_mode: SslMode = "prefer"


class Role(Struct, frozen=True):
    """A role: whether it may log in, may do everything, its password's verifier, and its open sessions."""

    login: bool
    superuser: bool
    verifier: str
    sessions: int


class Roles:
    """One connection. Every method raises TargetError."""

    def __init__(self, connection: Any, sql: Any, errors: type[Exception]) -> None:
        self._connection = connection
        self._sql = sql
        self._errors = errors

    async def read(self, name: str, *, verifier: bool = False) -> Role | None:
        """The role, or None where there is none; its verifier only where asked for, since that needs more rights."""
        column, table = ("rolpassword", "pg_authid") if verifier else ("NULL", "pg_roles")
        row = await self._run(
            f"SELECT rolcanlogin, rolsuper, {column}, (SELECT count(*) FROM pg_stat_activity"
            f" WHERE usename = rolname AND pid <> pg_backend_pid()) FROM {table} WHERE rolname = %s",
            name,
        )
        return Role(row[0], row[1], row[2] or "", row[3]) if row else None

    async def alter(self, name: str, change: Literal["LOGIN", "NOLOGIN"]) -> None:
        """Lets a role log in or not."""
        await self._run(self._sql.SQL("ALTER ROLE {} " + change).format(self._sql.Identifier(name)))

    async def set_verifier(self, name: str, verifier: str) -> None:
        """Gives a role the password that belongs to a verifier."""
        statement = self._sql.SQL("ALTER ROLE {} PASSWORD {}")
        await self._run(statement.format(self._sql.Identifier(name), self._sql.Literal(verifier)))

    async def end_sessions(self, name: str) -> None:
        """Ends the sessions of a role, and waits a moment until they are gone."""
        await self._run(
            "SELECT count(pg_terminate_backend(pid, 2000)) FROM pg_stat_activity"
            " WHERE usename = %s AND pid <> pg_backend_pid()",
            name,
        )

    async def _run(self, statement: Any, *values: str) -> Any:
        try:
            cursor = await self._connection.execute(statement, values or None)
            return await cursor.fetchone() if cursor.description else None
        except self._errors as error:
            raise TargetError(f"PostgreSQL refused: {_one_line(error)}; see the privileges of the action") from error


@asynccontextmanager
async def connect(settings: PostgresSettings | PostgresRotateSettings, context: ActionContext) -> AsyncIterator[Roles]:
    """A connection with the role of the settings. Raises TargetError."""
    psycopg = library("psycopg", extra="postgres")
    where = f"PostgreSQL at {settings.host}:{settings.port}"
    try:
        connection = await psycopg.AsyncConnection.connect(
            host=settings.host,
            port=settings.port,
            dbname=settings.database,
            user=settings.user,
            password=read_secret(context, settings.password_secret) or None,
            sslmode=settings.ssl_mode,
            connect_timeout=_TIMEOUT_S,
            options=f"-c statement_timeout={_TIMEOUT_S}s",
            application_name="halon",
            autocommit=True,
        )
    except psycopg.Error as error:
        text = _one_line(error)
        if "authentication" in text or "no password" in text:
            raise TargetError(f"{where} refused `{settings.user}`; set `user` and `password_secret`") from error
        raise TargetError(f"{where} is not reachable: {text}; see whether it runs", retryable=True) from error
    try:
        yield Roles(connection, library("psycopg.sql", extra="postgres"), psycopg.Error)
    finally:
        await connection.close()


def make_verifier(password: str) -> str:
    """The SCRAM-SHA-256 verifier of an ASCII password with a fresh salt."""
    return _verifier(password, secrets.token_bytes(16), _ITERATIONS)


def belongs(password: str, verifier: str) -> bool:
    """Whether a stored verifier is that of the password."""
    parsed = _VERIFIER.fullmatch(verifier)
    if parsed is None:
        return False
    return hmac.compare_digest(_verifier(password, base64.b64decode(parsed[2]), int(parsed[1])), verifier)


def _verifier(password: str, salt: bytes, iterations: int) -> str:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    first, second, third = (base64.b64encode(each).decode() for each in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{first}${second}:{third}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

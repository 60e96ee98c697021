"""Clients of a mosquitto broker by its dynamic security plug-in, over MQTT. Used by the `mosquitto.*` actions.

Source: mosquitto's dynamic security API, commands on `$CONTROL/dynamic-security/v1`.
"""

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from msgspec import Meta

from actions.credentials.handover import ACCOUNT, HandoverSettings
from actions.support import TargetError, read_secret
from engine.action import ActionContext, Params, Settings

_TIMEOUT_S = 5.0
_TOPIC = "$CONTROL/dynamic-security/v1"


class ClientParams(Params, frozen=True):
    """The client at the broker."""

    client: Annotated[str, Meta(pattern=ACCOUNT, description="user name of the client, as the broker knows it")]


class MosquittoSettings(Settings, frozen=True):
    """The broker, and a client that may use `$CONTROL/dynamic-security/#`; `ca_file` turns TLS on."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    user: str = "admin"
    password_secret: str = ""
    ca_file: str = ""


class MosquittoRotateSettings(HandoverSettings, frozen=True):
    """As for `mosquitto.disable-client`; `files` says for each client in which file it reads its password."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    user: str = "admin"
    password_secret: str = ""
    ca_file: str = ""


class Control:
    """The plug-in's commands on one connection. Every method raises TargetError."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def disabled(self, name: str) -> bool | None:
        """Whether a client is kept out; None where there is no such client."""
        answer = await self._run("getClient", username=name)
        if "not found" in str(answer.get("error", "")):
            return None
        return bool(_data(answer).get("client", {}).get("disabled", False))

    async def set_disabled(self, name: str, *, disabled: bool) -> None:
        """Keeps a client out, closing its connection, or lets it in."""
        _data(await self._run("disableClient" if disabled else "enableClient", username=name))

    async def set_password(self, name: str, password: str) -> None:
        """Gives a client a new password, which closes its connection."""
        _data(await self._run("setClientPassword", username=name, password=password))

    async def _run(self, command: str, **fields: str) -> dict[str, Any]:
        correlation = secrets.token_hex(8)
        payload = {"commands": [{"command": command, "correlationData": correlation, **fields}]}
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._client.publish(_TOPIC, json.dumps(payload), qos=1)
                async for message in self._client.messages:
                    for answer in json.loads(message.payload)["responses"]:
                        if answer.get("correlationData") == correlation:
                            return dict(answer)
        except TimeoutError as error:
            raise TargetError(
                f"the broker did not answer `{command}` within {_TIMEOUT_S:g} s; load its dynamic security plug-in,"
                f" and let halond's client use {_TOPIC}"
            ) from error
        except aiomqtt.MqttError as error:
            raise TargetError(f"the broker broke off at `{command}`: {error}; see its log") from error
        raise TargetError(f"the broker broke off at `{command}`; see its log")


def _data(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise TargetError(f"the broker refused {answer.get('command')}: {answer['error']}")
    found = answer.get("data", {})
    return found if isinstance(found, dict) else {}


@asynccontextmanager
async def connect(
    settings: MosquittoSettings | MosquittoRotateSettings, context: ActionContext
) -> AsyncIterator[Control]:
    """A connection with the client of the settings. Raises TargetError."""
    where = f"the broker at {settings.host}:{settings.port}"
    try:
        async with _client(settings, settings.user, read_secret(context, settings.password_secret)) as client:
            await client.subscribe(f"{_TOPIC}/response", qos=1)
            yield Control(client)
    except MqttConnectError as error:
        raise TargetError(f"{where} refused `{settings.user}`; set `user` and `password_secret`") from error
    except (aiomqtt.MqttError, OSError) as error:
        raise TargetError(f"{where} is not reachable: {error}; see whether it runs", retryable=True) from error


async def lets_in(settings: MosquittoSettings | MosquittoRotateSettings, name: str, password: str) -> bool:
    """Whether the broker lets a client in with that password, tried for real. Raises TargetError."""
    try:
        async with _client(settings, name, password):
            return True
    except MqttConnectError:
        return False
    except (aiomqtt.MqttError, OSError) as error:
        raise TargetError(f"the broker at {settings.host}:{settings.port} is not reachable: {error}") from error


def _client(settings: MosquittoSettings | MosquittoRotateSettings, user: str, password: str) -> aiomqtt.Client:
    return aiomqtt.Client(
        settings.host,
        settings.port,
        username=user,
        password=password or None,
        identifier=f"halon-{secrets.token_hex(6)}",
        timeout=_TIMEOUT_S,
        tls_context=ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else None,
    )

"""`mqtt.publish`: a command to an agent at the edge, which confirms on its reply topic that it is in force.

Sent, QoS 1, to `command_topic`; the agent answers each message with one on `reply_topic`:

    {"request": "6f…", "id": "int-…", "ask": "do", "command": "isolate", "arguments": {"port": "eth0"}}
    {"request": "6f…", "state": "in-force"}           # or "not-in-force", or "failed" with "error": "…"

`ask` is `do` or `state`: the second only asks whether `id` or what it wanted is in force. An agent does the same `id`
once, however often it is told. A reply counts only for the request that it names, so a retained or late one does not.
"""

import asyncio
import secrets
import ssl
from typing import Annotated, Literal

import aiomqtt
import msgspec
from aiomqtt.exceptions import MqttConnectError
from msgspec import Meta

from actions.support import TargetError, failed, read_secret
from engine.action import Action, ActionContext, Params, Settings
from engine.clock import SECOND_US, Duration
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    InForce,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Struct,
    Target,
    Unknown,
    Verification,
)

# Neither `/` nor `+` nor `#`: a name from an event is one level of a topic, and never a wildcard.
_NAME = r"^[A-Za-z0-9_.:@-]{1,128}\Z"
_REPLIES_MAX = 1_000


class MqttPublishParams(Params, frozen=True):
    """Which agent is told what."""

    agent: Annotated[str, Meta(pattern=_NAME, description="name of the agent: the `{agent}` of both topics")]
    command: Annotated[str, Meta(pattern=_NAME, description="one of the `commands` of config.toml")]
    arguments: Annotated[
        dict[str, Annotated[str, Meta(max_length=256)]], Meta(max_length=16, description="what the command is given")
    ] = {}


class MqttPublishSettings(Settings, frozen=True):
    """The broker, the two topics, how long a reply may take, and the `commands` that agents may be told.

    `ca_file` turns TLS on.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 1883
    user: str = ""
    password_secret: str = ""
    ca_file: str = ""
    command_topic: Annotated[str, Meta(pattern=r"^[^+#]*\{agent\}[^+#]*\Z")] = "halon/agents/{agent}/commands"
    reply_topic: Annotated[str, Meta(pattern=r"^[^+#]*\{agent\}[^+#]*\Z")] = "halon/agents/{agent}/replies"
    commands: tuple[str, ...] = ()
    timeout: Duration = Duration(10 * SECOND_US)


class _Reply(Struct, frozen=True, forbid_unknown_fields=False):
    """What an agent says; more fields are its own business."""

    request: str
    state: Literal["in-force", "not-in-force", "failed"]
    error: str = ""


class MqttPublish(Action[MqttPublishParams]):
    """Tells an agent a command by MQTT, and waits until the agent confirms that it is in force.

    Irreversible: Halon does not know what the agent did. Tell it another command to take it back.
    """

    name = "mqtt.publish"
    params = MqttPublishParams
    settings = MqttPublishSettings
    target_kind = "any"
    reversible = False
    privileges = (
        "a client of the broker that may publish the command topics and read the reply topics; only the agent itself"
        " may be allowed to publish its reply topic, for its word is taken"
    )
    example = '{ do = "mqtt.publish", agent = "edge-7", command = "isolate", arguments = { port = "eth0" } }'

    async def check(self, params: MqttPublishParams, context: ActionContext) -> Plan | Refused | Failed:
        if params.command not in self._own().commands:
            return Refused(f'`{params.command}` is not in `commands` of [actions."mqtt.publish"] in config.toml')
        try:
            reply = await self._tell("state", params, context)
        except TargetError as error:
            return failed(error)
        if reply.state == "failed":
            return Failed(f"{params.agent} can't tell whether it is in force: {reply.error[:300]}")
        return Plan(
            target=Target("any", f"{params.agent} {params.command}", {"agent": params.agent}),
            would=f"tell {params.agent} to {params.command} {msgspec.json.encode(params.arguments).decode()}",
            receipt={"id": context.intent},
            in_place=reply.state == "in-force",
        )

    async def apply(
        self, params: MqttPublishParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            if (await self._tell("state", params, context)).state == "in-force":
                return AlreadyInPlace(plan.receipt, f"{params.agent} says so")
            reply = await self._tell("do", params, context)
        except TargetError as error:
            return failed(error)
        if reply.state != "in-force":
            return Failed(f"{params.agent} did not do it: {reply.error[:300] or reply.state}; see its log")
        return Applied(plan.receipt, f"{params.agent} confirmed it")

    async def verify(self, params: MqttPublishParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            reply = await self._tell("state", params, context)
        except TargetError as error:
            return Unknown(str(error))
        match reply.state:
            case "in-force":
                return InForce(f"{params.agent} says so")
            case "not-in-force":
                return NotInForce(f"{params.agent} says so")
            case "failed":
                return Unknown(f"{params.agent} can't tell: {reply.error[:300]}")

    async def _tell(self, ask: Literal["do", "state"], params: MqttPublishParams, context: ActionContext) -> _Reply:
        """The agent's reply to one request. Raises TargetError."""
        settings = self._own()
        where = f"the broker at {settings.host}:{settings.port}"
        request = secrets.token_hex(12)
        message = {"request": request, "id": context.intent, "ask": ask,
                   "command": params.command, "arguments": params.arguments}  # fmt: skip
        limit_s = settings.timeout / SECOND_US
        try:
            # Entering the client has a time-out of its own; the agent's reply gets the rest.
            async with self._client(context) as client, asyncio.timeout(limit_s):
                await client.subscribe(settings.reply_topic.format(agent=params.agent), qos=1)
                await client.publish(
                    settings.command_topic.format(agent=params.agent), msgspec.json.encode(message), qos=1
                )
                return await _reply(client, request)
        except MqttConnectError as error:
            raise TargetError(f"{where} refused `{settings.user}`; set `user` and `password_secret`") from error
        except TimeoutError as error:
            raise TargetError(
                f"{params.agent} did not reply within {limit_s:g} s; see whether it runs, and both topics"
            ) from error
        except (aiomqtt.MqttError, OSError) as error:
            raise TargetError(f"{where} is not reachable: {error}; see whether it runs") from error

    def _client(self, context: ActionContext) -> aiomqtt.Client:
        settings = self._own()
        return aiomqtt.Client(
            settings.host,
            settings.port,
            username=settings.user or None,
            password=read_secret(context, settings.password_secret) or None,
            identifier=f"halon-{secrets.token_hex(6)}",
            timeout=settings.timeout / SECOND_US,
            tls_context=ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else None,
        )

    def _own(self) -> MqttPublishSettings:
        assert isinstance(self._settings, MqttPublishSettings)
        return self._settings


async def _reply(client: aiomqtt.Client, request: str) -> _Reply:
    seen = 0
    async for message in client.messages:
        try:
            reply = msgspec.json.decode(message.payload or b"", type=_Reply)
        except (msgspec.DecodeError, TypeError):
            reply = _Reply("", "failed")  # of another tongue; a well-formed one may still come
        if reply.request == request:
            return reply
        seen += 1
        if seen >= _REPLIES_MAX:
            raise TargetError(f"{seen} other messages came on the reply topic; only its agent may publish there")
    raise TargetError("the broker broke off; see its log")

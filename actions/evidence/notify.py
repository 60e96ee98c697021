"""`notify`: a notice to people, through any of the services that Apprise knows (mail, chat, pagers, webhooks).

A channel's address holds tokens, so config.toml names a secret for each:

    [actions.notify]
    channels = { on-call = "ONCALL_URL" }        # the secret holds e.g. slack://… or mailtos://…

What can be read back is that the service took the notice: it is recorded in STATE_DIR/notices/INTENT once it did.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from actions.support import TargetError, describe, failed, in_thread, library, read_secret, sync_folder, write_new
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
    Target,
    Unknown,
    Verification,
)


class NotifyParams(Params, frozen=True):
    """Whom to tell what."""

    channel: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z", description="a channel of config.toml")]
    title: Annotated[str, Meta(min_length=1, max_length=250, description="first line of the notice")]
    body: Annotated[str, Meta(max_length=10_000, description="the rest of it, as plain text")] = ""
    level: Annotated[Literal["info", "success", "warning", "failure"], Meta(description="how the service shows it")] = (
        "warning"
    )


class NotifySettings(Settings, frozen=True):
    """`channels`: by name, the secret that holds the channel's Apprise address (or several, one a line)."""

    channels: dict[str, str] = {}
    timeout: Duration = Duration(10 * SECOND_US)


class Notify(Action[NotifyParams]):
    """Sends a notice to a channel; it is in force once the channel's service took it.

    Should Halon end between the sending and its record of it, the notice is sent once more.

    Irreversible: a notice that was sent can't be taken back.
    """

    name = "notify"
    params = NotifyParams
    settings = NotifySettings
    target_kind = "evidence"
    reversible = False
    privileges = "reach the services of the channels; the secrets with their addresses; `pip install 'halon[notify]'`"
    example = '{ do = "notify", channel = "on-call", title = "model-extraction: gpu-3 is drained" }'

    async def check(self, params: NotifyParams, context: ActionContext) -> Plan | Refused | Failed:
        if params.channel not in self._own().channels:
            return Refused(f"there is no channel `{params.channel}`; add it to `channels` of [actions.notify]")
        try:
            await in_thread(self._channel, params, context)
        except TargetError as error:
            return failed(error)
        return Plan(
            target=Target("evidence", f"notice {context.intent} to {params.channel}"),
            would=f"send “{params.title}” to {params.channel}",
            receipt={"record": str(_record(context))},
            in_place=_record(context).exists(),
        )

    async def apply(
        self, params: NotifyParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        record = _record(context)
        if record.exists():
            return AlreadyInPlace(plan.receipt, f"{params.channel} took it")
        try:
            channel = await in_thread(self._channel, params, context)
            record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not await in_thread(_send, channel, params):
                return Failed(f"{params.channel} did not take the notice; see whether its address is right and it runs")
            write_new(record, f"{context.now_us()}\n".encode(), mode=0o600)
            sync_folder(record.parent)
        except TargetError as error:
            return failed(error)
        except OSError as error:
            return Failed(f"it can't be recorded that {params.channel} took the notice: {describe(error)}")
        return Applied(plan.receipt, f"{params.channel} took it")

    async def verify(self, params: NotifyParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            at_us = int(_record(context).read_text())
        except FileNotFoundError:
            return NotInForce(f"{params.channel} took no notice of this step")
        except (OSError, ValueError) as error:
            return Unknown(f"can't read {_record(context)}: {error}")
        return InForce(f"{params.channel} took it at {at_us} µs since 1970")

    def _channel(self, params: NotifyParams, context: ActionContext) -> Any:
        """The channel of Apprise. Raises TargetError."""
        apprise = library("apprise", extra="notify")
        name = self._own().channels[params.channel]
        channel = apprise.Apprise()
        for address in read_secret(context, name).split():
            if not channel.add(address):
                raise TargetError(f"the secret `{name}` holds no address that Apprise knows; see its list of services")
        if not len(channel):
            raise TargetError(f"the secret `{name}` of channel `{params.channel}` is empty; put its address into it")
        for each in channel:
            each.socket_connect_timeout = each.socket_read_timeout = self._own().timeout / SECOND_US
        return channel

    def _own(self) -> NotifySettings:
        assert isinstance(self._settings, NotifySettings)
        return self._settings


def _send(channel: Any, params: NotifyParams) -> bool:
    """Whether all services of the channel took it. One after the other, without the thread pool that Apprise keeps."""
    taken = [bool(each.notify(params.body or params.title, params.title, params.level)) for each in channel]
    return all(taken)  # one that does not take it must not keep the others from it


def _record(context: ActionContext) -> Path:
    return context.state_dir / "notices" / context.intent

"""`exec.run`: one of the programs that config.toml allows, run without a shell, and read back by another one.

A rule names the program and fills its placeholders; what is run stands in config.toml:

    [actions."exec.run".commands.block-key]
    argv   = ["/usr/local/bin/keys", "block", "{key}"]
    verify = ["/usr/local/bin/keys", "is-blocked", "{key}"]   # exit 0: in force, 1: not, anything else: unknown
"""

import re
from typing import Annotated

from msgspec import Meta

from actions.support import TargetError, run, sha256
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

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
# No leading dash: an argument from an event must not become an option of the program.
_ARGUMENT = r"^[A-Za-z0-9_.:/@=+,][A-Za-z0-9_.:/@=+, -]{0,255}\Z"


class ExecRunParams(Params, frozen=True):
    """Which program, and what to put into its placeholders."""

    command: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z", description="name of a command of config.toml")]
    arguments: Annotated[
        dict[str, Annotated[str, Meta(pattern=_ARGUMENT)]],
        Meta(max_length=16, description="values for its placeholders; none begins with a dash"),
    ] = {}


class Command(Struct, frozen=True):
    """One allowed program. Without `verify` its effect can't be read back, and every step with it is unverified."""

    argv: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
    verify: tuple[str, ...] = ()
    timeout: Duration = Duration(20 * SECOND_US)


class ExecRunSettings(Settings, frozen=True):
    """`commands`: the programs that may be run, by name, each with `argv`, `verify` and `timeout`."""

    commands: dict[str, Command] = {}


class ExecRun(Action[ExecRunParams]):
    """Runs a program of the operator's allow-list; its exit code 0 is success, its `verify` program reads it back.

    The program should do no harm when it is run twice: after a crash it may be.

    Irreversible: Halon does not know what the program did. Run another one to take it back.
    """

    name = "exec.run"
    params = ExecRunParams
    settings = ExecRunSettings
    target_kind = "any"
    reversible = False
    privileges = "those that the program needs, as the user of halond"
    example = '{ do = "exec.run", command = "block-key", arguments = { key = "sk-prod-7" } }'

    async def check(self, params: ExecRunParams, context: ActionContext) -> Plan | Refused | Failed:
        command = self._command(params)
        if isinstance(command, Refused):
            return command
        state = await self._read(params, command)
        if isinstance(state, Unknown) and command.verify:
            return Failed(f"it can't be told whether it is in force: {state.reason}")
        shown = " ".join(_fill(command.argv, params))
        return Plan(
            target=Target("any", shown[:512], {"command": params.command}),
            would=f"run {shown}",
            receipt={"argv_sha256": sha256("\0".join(_fill(command.argv, params)).encode())},
            in_place=isinstance(state, InForce),
        )

    async def apply(
        self, params: ExecRunParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        command = self._command(params)
        if isinstance(command, Refused):
            return command
        if isinstance(await self._read(params, command), InForce):
            return AlreadyInPlace(plan.receipt, f"{params.command} is in force")
        try:
            code, _, _ = await run(_fill(command.argv, params), timeout_s=command.timeout / SECOND_US)
        except TargetError as error:
            return Failed(str(error), error.retryable)
        if code:
            # Its output is left out: it may hold anything, secrets too.
            return Failed(f"{command.argv[0]} ended with exit code {code}; run it by hand to see why")
        return Applied(plan.receipt, f"{params.command} ended with exit code 0")

    async def verify(self, params: ExecRunParams, receipt: Receipt, context: ActionContext) -> Verification:
        command = self._command(params)
        return Unknown(command.reason) if isinstance(command, Refused) else await self._read(params, command)

    async def _read(self, params: ExecRunParams, command: Command) -> Verification:
        if not command.verify:
            return Unknown(f"`{params.command}` has no `verify` in config.toml, so its effect can't be read back")
        argv = _fill(command.verify, params)
        try:
            code, _, _ = await run(argv, timeout_s=command.timeout / SECOND_US)
        except TargetError as error:
            return Unknown(str(error))
        match code:
            case 0:
                return InForce(f"{argv[0]} says so")
            case 1:
                return NotInForce(f"{argv[0]} says so")
            case _:
                return Unknown(f"{argv[0]} ended with exit code {code}; 0 means in force, 1 not in force")

    def _command(self, params: ExecRunParams) -> Command | Refused:
        assert isinstance(self._settings, ExecRunSettings)
        command = self._settings.commands.get(params.command)
        if command is None:
            return Refused(f'`{params.command}` is not allowed; add it to [actions."exec.run".commands] in config.toml')
        wanted = {name for text in (*command.argv, *command.verify) for name in _PLACEHOLDER.findall(text)}
        if wanted != set(params.arguments):
            return Refused(f"`{params.command}` takes the arguments {sorted(wanted)}, not {sorted(params.arguments)}")
        if not command.argv[0].startswith("/"):
            return Refused(f"`{command.argv[0]}` of `{params.command}` must be an absolute path in config.toml")
        return command


def _fill(argv: tuple[str, ...], params: ExecRunParams) -> list[str]:
    return [_PLACEHOLDER.sub(lambda match: params.arguments[match[1]], text) for text in argv]

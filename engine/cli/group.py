"""Turns a command's name into its module, which is imported when it is asked for; `main` is the console script."""

import importlib
from importlib import metadata

import click

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("engine.cli.run:run", "Run the daemon."),
    "check": ("engine.cli.check:check", "Find every mistake in rules and config."),
    "test": ("engine.cli.ruletests:test", "Run rule tests (*.test.toml) on a virtual clock."),
    "replay": ("engine.cli.replay:replay", "Show what rules would have done to recorded events."),
    "map": ("engine.cli.map:map_", "Show the events that a message of a producer becomes."),
    "actions": ("engine.cli.actions:actions", "List the actions, or show one with its parameters."),
    "status": ("engine.cli.status:status", "Show how the daemon is doing, on one screen."),
    "top": ("engine.cli.top:top", "Watch the daemon live."),
    "incidents": ("engine.cli.incidents:incidents", "List, show, acknowledge, advance, close and reopen incidents."),
    "explain": ("engine.cli.explain:explain", "Explain why an incident fired and what became of each step."),
    "events": ("engine.cli.events:events", "Show recorded events: of a key, or around an incident."),
    "watch": ("engine.cli.watch:watch", "List, add and remove keys that are watched more closely."),
    "rules": ("engine.cli.rules:rules", "Say what each rule has come to."),
    "leases": ("engine.cli.leases:leases", "List what is contained; let go of it."),
    "approve": ("engine.cli.steering:approve", "Let a step go ahead that waits for a person."),
    "deny": ("engine.cli.steering:deny", "Refuse a step that waits for a person."),
    "pause": ("engine.cli.steering:pause", "Stop all containment; leases stay in force."),
    "resume": ("engine.cli.steering:resume", "Let containment go on."),
    "reload": ("engine.cli.steering:reload", "Read rules and config again."),
    "deadletters": ("engine.cli.deadletters:deadletters", "List, show, retry and drop messages that were no events."),
    "sign": ("engine.cli.sign:sign", "Make keys for sources that sign, and sign messages."),
    "audit": ("engine.cli.audit:audit", "Verify the audit log; print its head."),
    "state": ("engine.cli.state:state_group", "Export, import and check the store."),
    "forensics": ("engine.cli.forensics:forensics", "Examine models and data: files become findings."),
    "checkpoints": ("engine.cli.checkpoints:checkpoints", "List, add and judge what models are restored from."),
    "schema": ("engine.cli.schema:schema", "Print the JSON Schema of rule files, for editors."),
    "init": ("engine.cli.init:init", "Write a first rule with its test."),
    "completion": ("engine.cli.completion:completion", "Print the completion script of a shell."),
}
"""Name, place and help of every command, in the order of the manual."""


class LazyGroup(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        found = COMMANDS.get(cmd_name)
        if found is None:
            return None
        module, _, attribute = found[0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            # Imported here: only a slip of the pen needs it.
            hint = importlib.import_module("engine.diagnostics").suggest(name, COMMANDS)
            ctx.fail(f"No such command '{name}'." + (f" {hint[0].upper()}{hint[1:]}" if hint else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `halon --help`, from the table alone."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(metadata.version("halon"), prog_name="halon")
def main() -> None:
    """Automatic fire suppression for AI infrastructure.

    Events become signals, signals become incidents, incidents are contained and the containment is verified. Most
    commands take --json. Exit codes: 0 done, 1 findings or not done, 2 usage or bad config.
    """

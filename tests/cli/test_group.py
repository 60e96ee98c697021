"""`halon` itself: its table of commands, its exit codes, its help."""

import json

import click
import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.cli.group import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there_and_explains_itself(name):
    """The table names real commands; each has a help text that opens with a sentence, and is what it says."""
    result = CliRunner().invoke(main, prog_name="halon", args=[name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: halon {name}")
    assert "." in result.output.split("\n\n")[1]


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_group_cuts_off_what_its_subcommands_do(name, columns):
    """The first sentence of each stands there whole, over several lines on a narrow terminal."""
    group = main.get_command(click.Context(main), name)
    if not isinstance(group, click.Group):
        return
    result = CliRunner().invoke(main, prog_name="halon", args=[name, "--help"], terminal_width=columns)
    told = result.output.partition("Commands:")[2]
    assert all(len(line) <= columns for line in told.splitlines())
    for each in group.commands.values():
        first = " ".join(each.help.split("\n\n")[0].split())
        assert first.startswith(each.get_short_help_str(limit=400).removesuffix("."))
        assert each.get_short_help_str(limit=400) in " ".join(told.split()), each.name


def test_help_lists_all_commands_without_importing_them():
    """`halon --help` is the table."""
    result = CliRunner().invoke(main, prog_name="halon", args=["--help"])
    assert result.exit_code == 0
    assert all(name in result.output and text in result.output for name, (_, text) in COMMANDS.items())


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["stats"], "Did you mean `status`?"),
        (["leases", "--jsno"], "No such option"),
        (["check", "/nowhere/at/all"], "does not exist"),
        (["actions", "process.frezze"], "did you mean `process.freeze`?"),
        (["incidents", "show"], "Missing argument 'INCIDENT'"),
        (["incidents", "close", "inc-1"], "Missing option '--resolution'"),
        (["audit", "verify", "--anchor", "x"], "RECORD:HASH"),
        (["deadletters", "show", "0"], "0 is not in the range"),
        (["status", "--config", "/nowhere/config.toml"], "there is no config file /nowhere/config.toml"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_right(args, says):
    """Usage errors name the mistake, and where one is close, what was meant."""
    result = CliRunner().invoke(main, prog_name="halon", args=args)
    assert result.exit_code == 2, result.output
    assert says in result.output


@pytest.mark.parametrize("command", ["status", "incidents", "leases", "deadletters", "pause"])
def test_a_bad_config_is_exit_code_2_with_all_its_mistakes(tmp_path, command):
    """Every mistake of config.toml is shown with its place, whichever command was asked for."""
    config = tmp_path / "config.toml"
    config.write_text('[daemon]\nstate_dri = "x"\n[intake]\nbatch_age = "soon"\n')
    result = CliRunner().invoke(main, prog_name="halon", args=[command, "--config", str(config)])
    assert result.exit_code == 2
    assert "state_dri" in result.output
    assert "soon" in result.output
    assert f"{config}:2:1" in result.output


def test_actions_are_listed_and_shown_with_an_example():
    """The list names every action; one of them shows parameters with types and defaults, privileges and an example."""
    listed = CliRunner().invoke(main, prog_name="halon", args=["actions"])
    assert listed.exit_code == 0
    assert "process.freeze" in listed.output
    shown = CliRunner().invoke(main, prog_name="halon", args=["actions", "process.freeze"]).output
    for text in ("pid", "integer 1..4194304", "(required)", "CAP_KILL", 'do = "process.freeze"', "restores the prior"):
        assert text in shown
    views = json.loads(CliRunner().invoke(main, prog_name="halon", args=["actions", "--json"]).stdout)
    freeze = next(each for each in views if each["name"] == "process.freeze")
    assert freeze["reversible"] is True
    assert freeze["example"] in shown, "in one line, to be copied"
    pid = freeze["parameters"][0]
    assert (pid["name"], pid["type"], pid["required"]) == ("pid", "integer 1..4194304", True)

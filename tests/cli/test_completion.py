"""`halon completion`, in the real shells where they are there."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.cli.group import COMMANDS

BIN = Path(sysconfig.get_path("scripts"))


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o nosort"), ("zsh", "#compdef halon"), ("fish", "complete ")]
)
def test_each_shell_gets_a_script_that_asks_halon(shell, mark):
    """The script names the command and the variable by which click is asked."""
    result = CliRunner().invoke(main, prog_name="halon", args=["completion", shell])
    assert result.exit_code == 0
    assert mark in result.output
    assert f"_HALON_COMPLETE={shell}_complete" in result.output


def test_real_bash_completes_commands_and_options(tmp_path):
    """`halon le<TAB>` is `leases`; after a command, its options."""
    bash = shutil.which("bash")
    assert bash is not None, "make needs it too"
    script = CliRunner().invoke(main, prog_name="halon", args=["completion", "bash"]).output
    (tmp_path / "completion").write_text(script)

    def complete(*words):
        text = f"""
            source {tmp_path}/completion
            COMP_WORDS=({" ".join(words)}) COMP_CWORD={len(words) - 1}
            _halon_completion halon
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run([bash, "-c", text], capture_output=True, text=True, env=environment, check=True)
        return done.stdout.split()

    assert complete("halon", "le") == ["leases"]
    assert set(complete("halon", "''")) >= set(COMMANDS)
    assert complete("halon", "deadletters", "re") == ["retry"]
    assert set(complete("halon", "leases", "''")) == {"list", "release"}
    assert complete("halon", "replay", "--sp") == ["--speed"]
    assert "--every" in complete("halon", "top", "--")

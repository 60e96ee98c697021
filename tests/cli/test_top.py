"""`halon top` against a real control socket and database; only the daemon behind them is a fake."""

import contextlib
import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner

from engine.cli import main
from tests.support.steered import serving
from tests.support.stored import make_database
from tests.support.wait import until


@pytest.fixture
def config(tmp_path):
    """A config whose control socket is served."""
    path = tmp_path / "config.toml"
    path.write_text(f'[daemon]\nstate_dir = "{tmp_path}"\n')
    with serving(tmp_path / "control.sock", make_database(tmp_path / "halon.db")):
        until((tmp_path / "control.sock").exists)
        yield path


SHOWN = (
    "mode enforce",
    "events 12/s",
    "local",
    "connected",
    "not connected",
    "data-poisoning",
    "run=run-7",
    "in-force",
)


@pytest.mark.parametrize(("arguments", "screens"), [([], 1), (["--count", "2", "--every", "0.1"], 2)])
def test_without_a_terminal_it_prints_screens_one_after_the_other(config, arguments, screens):
    """One look, or as many as are asked for: doors, incidents, leases."""
    result = CliRunner().invoke(main, prog_name="halon", args=["top", "--config", str(config), *arguments])
    assert result.exit_code == 0, result.output
    assert result.output.count("halon 0.1.0") == screens
    for text in SHOWN:
        assert text in result.output


def test_on_a_real_terminal_it_draws_and_gives_the_screen_back(config):
    """It uses the terminal's other screen and leaves it at the end."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "engine.cli", "top", "--config", str(config), "--count", "2", "--every", "0.1"]
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env={**os.environ, "TERM": "xterm"}
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(leader, 65_536):
            shown += part
    os.close(leader)
    assert process.wait(30) == 0, shown
    assert b"\x1b[?1049h" in shown
    assert shown.rstrip().rfind(b"\x1b[?1049l") > shown.rfind(b"data-poisoning") > 0


def test_a_daemon_that_is_away_is_said_and_waited_for(tmp_path):
    """It may come back: no failure, a screen that says so."""
    config = tmp_path / "config.toml"
    config.write_text(f'[daemon]\nstate_dir = "{tmp_path}"\n')
    result = CliRunner().invoke(main, prog_name="halon", args=["top", "--config", str(config)])
    assert result.exit_code == 0
    assert "no daemon answers" in result.output

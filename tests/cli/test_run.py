"""`halon run` where it must not start; that it runs is proved end to end elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.running import Overrides

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("config", "code", "says"),
    [
        (None, 2, "there is no config file"),
        ('[daemon]\nstate_dri = "x"\n', 2, "did you mean `state_dir`?"),
        ('[daemon]\nstate_dir = "state"\n[rules]\npaths = ["bad.toml"]\n', 1, "unknown key `wher`"),
    ],
)
def test_the_daemon_does_not_start_half(tmp_path, config, code, says):
    """With a mistake in config or rules everything wrong is printed, and no state is made: a real process."""
    if config is not None:
        (tmp_path / "config.toml").write_text(config)
    (tmp_path / "bad.toml").write_text("[signal.x]\non = 'a'\nwher = 'true'\n")
    result = subprocess.run(
        [sys.executable, "-c", "from engine.cli import main; main()", "run", "--config", str(tmp_path / "config.toml")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("given", "level", "levels"),
    [
        ((), "", ()),
        (("debug",), "debug", ()),
        (("warning", "engine.intake=debug", "mqtt=info"), "warning", (("engine.intake", "debug"), ("mqtt", "info"))),
    ],
)
def test_log_levels_are_given_for_all_and_for_parts(monkeypatch, given, level, levels):
    """`LEVEL` and `PART=LEVEL`, as often as needed, over the config and its reloads."""
    told = []
    monkeypatch.setattr("engine.cli.run.run_daemon", lambda path, overrides: told.append(overrides) or 0)
    options = [text for each in given for text in ("--log-level", each)]
    result = CliRunner().invoke(main, ["run", *options], prog_name="halon")
    assert result.exit_code == 0, result.output
    assert told == [Overrides(log_level=level, log_levels=levels)]


def test_a_level_that_there_is_not_is_a_usage_error():
    """Exit code 2, with the levels that there are."""
    result = CliRunner().invoke(main, ["run", "--log-level", "engine.intake=loud"], prog_name="halon")
    assert result.exit_code == 2
    assert "debug, info, warning, error" in " ".join(result.output.split())

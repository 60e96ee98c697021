"""`halon run` where it must not start; that it runs is proved end to end elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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

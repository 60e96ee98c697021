"""The wheel as a user gets it: built from this tree, unpacked elsewhere, and run with the rules that it carries."""

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.realparts import free_port
from tests.support.wait import until

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The content of the wheel, in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", ROOT],
        check=True,
        capture_output=True,
        timeout=120,
    )
    [wheel] = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def halon(site, *arguments, cwd):
    """A `halon` process that imports from the unpacked wheel and from nowhere else of ours."""
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from engine.cli import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", code, str(site), *arguments]
    return subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HOME": str(cwd)},
    )


def test_the_wheel_carries_the_shipped_rules_and_config(unpacked, tmp_path):
    """`halon check` from any folder reads the rules inside the wheel and finds nothing wrong with them."""
    shipped = [ROOT / "config.toml", *sorted((ROOT / "rules").rglob("*.toml"))]
    for path in shipped:
        assert (unpacked / "engine" / "shipped" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    assert len(shipped) > 25
    process = halon(unpacked, "check", cwd=tmp_path)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "ok:" in said


def test_the_daemon_runs_from_the_wheel(unpacked, tmp_path):
    """`halon run` with the shipped rules and the embedded broker starts, says so, and ends in order."""
    config = tmp_path / "config.toml"
    port = free_port()
    config.write_text(
        f"""
        [daemon]
        state_dir = "state"
        log_format = "json"
        [rules]
        paths = ["{unpacked / "engine" / "shipped" / "rules"}"]
        [broker]
        enabled = true
        port = {port}
        [[mqtt]]
        port = {port}
        """
    )
    process = halon(unpacked, "run", "--config", str(config), cwd=tmp_path)
    try:
        until(lambda: (tmp_path / "state" / "control.sock").exists() or process.poll() is not None, within_s=30)
        assert process.poll() is None
        asked = halon(unpacked, "status", "--config", str(config), cwd=tmp_path)
        said, _ = asked.communicate(timeout=30)
        assert asked.returncode == 0, said
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert '"halon runs"' in said

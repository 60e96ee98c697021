"""`halon checkpoints` on real folders."""

import json

import pytest
from click.testing import CliRunner

from engine.cli import main


def halon(*args):
    return CliRunner().invoke(main, ["checkpoints", *map(str, args)], prog_name="halon")


@pytest.fixture
def site(tmp_path):
    """A model to keep, and a config that says where."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights.npz").write_bytes(b"weights")
    (tmp_path / "config.toml").write_text(f'[actions."model.restore"]\nbackups = "{tmp_path}/backups"\n')
    return tmp_path


def test_a_checkpoint_is_added_listed_judged_and_found_out(site):
    """From nothing: add, list, judge, tamper; the exit code says whether one was tampered with."""
    config = ("--config", site / "config.toml")
    added = halon("add", "m-17", site / "model", "--version", "v1", "--data-until", "2026-01-02T03:04:05Z", *config)
    assert added.exit_code == 0, added.output
    assert "m-17 v1: 2 files" in added.output
    listed = halon("list", "m-17", "--json", *config)
    assert listed.exit_code == 0
    (row,) = json.loads(listed.stdout)
    assert (row["model"], row["version"], row["standing"], row["files"]) == ("m-17", "v1", "sound", 2)
    assert row["at"].startswith("2026-01-02T03:04:05")
    judged = halon("judge", "m-17", "v1", "contaminated", "--why", "shard 3 was poisoned", *config)
    assert judged.exit_code == 0
    shown = halon(*config)
    assert "contaminated" in shown.output
    assert "shard 3" in shown.output
    assert shown.exit_code == 0
    (site / "backups/m-17/v1/weights.npz").write_bytes(b"others")
    shown = halon("--backups", site / "backups")
    assert (shown.exit_code, "tampered" in shown.output) == (1, True)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["list", "../etc"], 2, "one name"),
        (["list", "nobody"], 1, "no checkpoints"),
        (["judge", "m-17", "v9", "clean", "--why", "x"], 1, "there is no checkpoint"),
        (["add", "m-17", "{site}/model", "--version", "v1", "--data-until", "yesterday"], 2, "--data-until"),
    ],
)
def test_what_is_wrong_is_said(site, args, code, says):
    """Usage ends with 2, what could not be done with 1."""
    result = halon(*[each.format(site=site) for each in args], "--config", site / "config.toml")
    assert (result.exit_code, says in result.output) == (code, True), result.output


def test_no_checkpoint_yet_is_no_error(site):
    """An empty folder tells how to begin."""
    (site / "backups").mkdir()
    result = halon("--config", site / "config.toml")
    assert result.exit_code == 0
    assert "halon checkpoints add" in result.output

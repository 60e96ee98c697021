"""`halon init` and what can be done with what it writes."""

from click.testing import CliRunner

from engine.cli import main
from engine.cli.init import FILES


def halon(*args):
    """What `halon ARGS` does."""
    return CliRunner().invoke(main, [str(each) for each in args], prog_name="halon")


def test_the_first_rule_is_clean_and_its_test_passes(tmp_path):
    """What is written passes `check` and `test` as it stands."""
    made = halon("init", tmp_path / "mine")
    assert made.exit_code == 0, made.output
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == sorted(FILES)
    assert halon("check", tmp_path / "mine").output.startswith("ok: 1 rule")
    tested = halon("test", tmp_path / "mine")
    assert tested.exit_code == 0, tested.output


def test_nothing_is_overwritten(tmp_path):
    """Where one of the files is there already, none is written and the exit code is 1."""
    (tmp_path / "slow-model.test.toml").write_text("mine")
    result = halon("init", tmp_path)
    assert result.exit_code == 1
    assert "is there already" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["slow-model.test.toml"]
    assert (tmp_path / "slow-model.test.toml").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    """An unwritable place is an error in words."""
    (tmp_path / "file").touch()
    result = halon("init", tmp_path / "file" / "sub")
    assert result.exit_code == 1
    assert "can't write to" in result.output

"""Which files of which folders are rule files."""

from pathlib import Path

import pytest

from engine.diagnostics import Level, has_errors
from engine.rulefile import files
from engine.rulefile.load import load_rules
from tests.support.plugins import CATALOGUE, DETECTORS


def test_names_of_files_decide(tmp_path):
    """Tests of rules, hidden files and other suffixes are left out; a file given twice is read once; links may loop."""
    signal = '[signal.{}]\non = "t"\n'
    (tmp_path / "a.toml").write_text(signal.format("a"))
    (tmp_path / "a.test.toml").write_text("[test.x]\n")
    (tmp_path / ".hidden.toml").write_text("broken [")
    (tmp_path / "notes.txt").write_text("broken [")
    (tmp_path / "loop").symlink_to(tmp_path)
    rules, found = load_rules(
        [tmp_path / "a.toml", tmp_path, tmp_path / "a.toml"], catalogue=CATALOGUE, detectors=DETECTORS
    )
    assert [each.code for each in found] == ["H003"]
    assert "deeper than" in found[0].title
    assert rules is None
    (tmp_path / "loop").unlink()
    rules, found = load_rules([tmp_path / "a.toml", tmp_path], catalogue=CATALOGUE, detectors=DETECTORS)
    assert (has_errors(found), rules.files) == (False, (str(tmp_path / "a.toml"),))


def test_the_shipped_folder_is_found_relative_to_the_working_directory(tmp_path, monkeypatch):
    """Paths are shown as they were given."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "x.toml").write_text("[signal.a]\n")
    monkeypatch.chdir(tmp_path)
    _, found = load_rules([Path("rules")], catalogue=CATALOGUE, detectors=DETECTORS)
    assert found[0].span.path == "rules/x.toml"


def test_a_folder_that_cannot_be_read_is_an_error_and_an_empty_one_a_warning(tmp_path):
    """A missing path keeps the rules from loading; a folder without rules says that nothing is guarded."""
    rules, found = load_rules([tmp_path / "none"], catalogue=CATALOGUE, detectors=DETECTORS)
    assert (rules, [(each.code, each.level) for each in found]) == (None, [("H001", Level.ERROR)])
    rules, found = load_rules([tmp_path], catalogue=CATALOGUE, detectors=DETECTORS)
    assert (rules.rules, [(each.code, each.level) for each in found]) == ({}, [("H001", Level.WARNING)])


@pytest.mark.parametrize(("limit", "value"), [("FILES_MAX", 2), ("TOTAL_CHARS_MAX", 30)])
def test_files_are_bounded_in_number_and_size(tmp_path, monkeypatch, limit, value):
    """Past the limit reading ends with a finding, not with a full memory."""
    monkeypatch.setattr(files, limit, value)
    for number in range(4):
        (tmp_path / f"{number}.toml").write_text(f"[list.a{number}]\nvalues = []\n")
    read, found = files.read_files([tmp_path])
    assert (len(read) < 4, [each.code for each in found]) == (True, ["H003"])

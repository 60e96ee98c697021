"""`halon check` on good and bad files."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main

GOOD = """
[signal.slow]
on = "inference.request"
where = "event.data.latency_ms > 2000"
by = { model = "event.subject" }
detect = { method = "count", at_least = 3, within = "1m" }

[rule.slow-model]
incident = "performance-anomaly"
severity = "high"
by = ["model"]
when = { all = ["slow"] }
playbook = "look"

[playbook.look]
investigate = [{ do = "evidence.capture", paths = ["${event.data.log}"] }]
"""


def halon(*args):
    """What `halon check ARGS` does."""
    return CliRunner().invoke(main, ["check", *map(str, args)], prog_name="halon")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with one good rule file in rules/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "slow.toml").write_text(GOOD)
    return tmp_path


def test_good_rules_are_ok(folder):
    """Without a finding: exit code 0, and how much was checked."""
    result = halon("rules")
    assert result.exit_code == 0, result.output
    assert result.stdout == "ok: 1 rule, 1 signal, 1 playbook in 1 file\n"
    report = json.loads(halon("rules", "--json").stdout)
    assert (report["ok"], report["rules"], report["files"]) == (True, 1, ["rules/slow.toml"])
    assert report["conditions"] == []


def test_without_paths_the_config_and_its_rules_are_checked(folder):
    """./config.toml is read, and the rules that it names, relative to it."""
    (folder / "config.toml").write_text('[rules]\npaths = ["rules"]\n')
    result = halon()
    assert result.exit_code == 0, result.output
    assert "1 rule, 1 signal, 1 playbook in 2 files" in result.stdout
    (folder / "config.toml").write_text('[rules]\npaths = ["rules"]\n[dæmon]\n')
    broken = halon()
    assert broken.exit_code == 1
    assert "config.toml:3" in broken.stdout


def test_every_mistake_of_every_file_is_reported_at_once(folder):
    """Exit code 1; each finding with code, place, caret and help; the same in JSON."""
    (folder / "rules" / "bad.toml").write_text(
        GOOD.replace("slow", "slower").replace("look", "see").replace("e.capture", "e.captur")
    )
    (folder / "rules" / "worse.toml").write_text("[signal.x]\non = 'a'\nwher = 'true'\n")
    result = halon("rules")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "error[H012]: unknown action `evidence.captur`" in lines
    assert any(line.strip().startswith("--> rules/bad.toml:16:") for line in lines)
    assert "did you mean `evidence.capture`?" in result.stdout
    assert "rules/worse.toml:3:1" in result.stdout
    assert lines[-1] == "2 errors"
    report = json.loads(halon("rules", "--json").stdout)
    assert (report["ok"], report["errors"]) == (False, 2)
    assert {(each["path"], each["line"]) for each in report["diagnostics"]} == {
        ("rules/bad.toml", 16),
        ("rules/worse.toml", 3),
    }


def test_a_single_file_of_either_kind_can_be_checked(folder):
    """A rule file is checked as rules, a test file as tests, even without its rules."""
    (folder / "rules" / "slow.test.toml").write_text('[test.x]\nevents = []\nexpect = [{ incident = "model-drift" }]\n')
    for path in ("rules/slow.toml", "rules/slow.test.toml", "rules"):
        result = halon(path)
        assert result.exit_code == 0, result.output
    (folder / "rules" / "slow.test.toml").write_text("[tst.x]\n")
    assert halon("rules/slow.toml").exit_code == 0
    assert halon("rules/slow.test.toml").exit_code == 1


def test_verbose_says_what_evaluates_each_condition(folder):
    """-v lists where, value, by, of, and every template of every step with the way it runs."""
    result = halon("rules", "-v", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)["conditions"]
    assert [(each["owner"], each["field"], each["source"]) for each in found] == [
        ("signal.slow", "where", "event.data.latency_ms > 2000"),
        ("signal.slow", "by.model", "event.subject"),
        ("playbook.look", "investigate[0].paths", "event.data.log"),
    ]
    assert {each["runs_on"] for each in found} <= {"python", "c++"}
    text = halon("rules", "-v").stdout
    assert "event.data.latency_ms > 2000" in text
    assert "of 3 conditions run as Python code" in text


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[", b"\x00" * 100, b"a = 1\n" * 10, "[rule.é]".encode()])
def test_any_bytes_give_findings_and_no_traceback(folder, content):
    """A rule file of any content ends in exit code 0 or 1."""
    (folder / "rules" / "any.toml").write_bytes(content)
    result = halon("rules")
    assert result.exit_code in {0, 1}
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_the_shipped_rules_and_config_are_clean():
    """What is installed has no finding, not even a warning."""
    root = Path(__file__).resolve().parent.parent.parent
    report = json.loads(halon("--config", root / "config.toml", "--json").stdout)
    assert report["diagnostics"] == []
    assert report["rules"] >= 1

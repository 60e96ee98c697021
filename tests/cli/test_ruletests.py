"""`halon test` on passing, failing and broken tests."""

import json
import re

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.cli.init import FILES

GOOD = FILES["slow-model.test.toml"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the first rule and its test in mine/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name, text in FILES.items():
        (tmp_path / "mine" / name).write_text(text)
    return tmp_path


def halon(*args):
    """What `halon test ARGS` does."""
    return CliRunner().invoke(main, ["test", *map(str, args)], prog_name="halon")


def test_passing_tests_are_dots_or_names(folder):
    """Exit code 0; a dot each, or with -v a line."""
    result = halon("mine")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r"\.\.\n\n2 passed in 1 file, [\d.]+ m?s\n", result.stdout), result.stdout
    named = halon("mine", "-v").stdout.splitlines()
    first = "PASSED  mine/slow-model.test.toml  three-slow-answers-fire"
    assert re.fullmatch(re.escape(first) + r"  \(3 events, [\d.]+ m?s\)", named[0]), named[0]
    report = json.loads(halon("mine", "--json").stdout)
    assert (report["ok"], report["passed"], report["failed"]) == (True, 2, 0)


@pytest.mark.parametrize(
    ("change", "shows"),
    [
        (('at = "20s"', 'at = "10s"'), ["- 10s  performance-anomaly", "+ 20s  performance-anomaly"]),
        (("expect = []", 'expect = [{ incident = "model-drift" }]'), ["- at any time  model-drift"]),
        (('key = { model = "m-1" }', 'key = { model = "m-2" }'), ["model=m-2", "+ 20s", "model=m-1"]),
        (("repeat = 3", "repeat = 2"), ["- 20s  performance-anomaly"]),
        (("latency_ms = 2500", "latency = 2500"), ["3 evaluations failed", "slow-answers, where: event.data has no"]),
    ],
)
def test_a_failing_test_shows_what_was_expected_and_what_happened(folder, change, shows):
    """Exit code 1, both timelines, and faults that may be the reason."""
    (folder / "mine" / "slow-model.test.toml").write_text(GOOD.replace(*change))
    result = halon("mine")
    assert result.exit_code == 1
    assert "F" in result.stdout.splitlines()[0]
    for text in shows:
        assert text in result.stdout
    assert "1 passed, 1 failed in 1 file" in result.stdout
    failed = [each for each in json.loads(halon("mine", "--json").stdout)["tests"] if not each["passed"]]
    assert len(failed) == 1
    assert failed[0]["difference"]


def test_mistakes_in_a_test_file_are_findings(folder):
    """A test that can't be read is no passing test: exit code 1, with its place."""
    (folder / "mine" / "slow-model.test.toml").write_text(GOOD.replace("expect = []", "expct = []"))
    result = halon("mine")
    assert result.exit_code == 1
    assert "mine/slow-model.test.toml:13" in result.stdout
    assert "did you mean `expect`?" in result.stdout
    checked = CliRunner().invoke(main, ["check", "mine"], prog_name="halon")
    assert checked.exit_code == 1
    assert "did you mean `expect`?" in checked.stdout


def test_one_file_is_tested_against_the_rules_beside_it(folder):
    """A test file alone finds its rules in its own folder; --rules names others."""
    assert halon("mine/slow-model.test.toml").exit_code == 0
    (folder / "lax").mkdir()
    (folder / "lax" / "a.toml").write_text(FILES["slow-model.toml"].replace("at_least = 3", "at_least = 4"))
    assert halon("mine/slow-model.test.toml", "--rules", "lax").exit_code == 1


def test_without_paths_the_configs_rules_are_tested(folder):
    """./config.toml names the rules, the tests stand beside them."""
    (folder / "config.toml").write_text('[rules]\npaths = ["mine"]\n')
    result = halon()
    assert result.exit_code == 0, result.output
    assert "2 passed" in result.stdout


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: (folder / "mine" / "slow-model.test.toml").unlink(), "there are no tests"),
        (lambda folder: (folder / "mine" / "slow-model.toml").write_text("[rule.x]\n"), "the rules do not load"),
    ],
)
def test_nothing_to_test_is_not_success(folder, make, says):
    """No tests, or rules that do not load, are exit code 2."""
    make(folder)
    result = halon("mine")
    assert result.exit_code == 2
    assert says in result.output


def test_a_rule_file_is_no_test_file(folder):
    """Naming the rules instead of their tests is a usage error."""
    result = halon("mine/slow-model.toml")
    assert result.exit_code == 2
    assert "is no test file" in result.output

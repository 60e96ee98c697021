"""What README.md and docs/rules.md show works as it is shown."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.detectors.table import DETECTORS
from engine.diagnostics import render
from engine.rulefile.load import check_files
from engine.ruletest import parse_tests
from engine.tomlfile import TomlFile, parse_toml
from tests.support.rules import catalogue

ROOT = Path(__file__).resolve().parent.parent
LINT_OF_PARTS = {"H101", "H102", "H103", "H107"}
"""What may be said of an example that shows a part only."""


def sections(page):
    """Heading to the fenced blocks below it, as (language, text)."""
    text = (ROOT / page).read_text(encoding="utf-8")
    parts = re.split(r"^##+ (.*)\n", text, flags=re.MULTILINE)
    found: dict[str, list[tuple[str, str]]] = {}
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
        found.setdefault(heading, []).extend(blocks)
    return found


RULES = sections("docs/rules.md")
README = sections("README.md")


def findings(text):
    """What the loader finds in a rule file."""
    file = parse_toml(text.encode(), "example.toml")
    assert isinstance(file, TomlFile), render([file])
    return check_files([file], catalogue=catalogue(), detectors=DETECTORS)[1]


def only(heading, language="toml", sections=RULES):
    """The one block below a heading."""
    [text] = [text for kind, text in sections[heading] if kind == language]
    return text


def test_the_first_rule_of_the_language_page_is_clean():
    """The first rule loads, without a warning."""
    assert findings(only("A first rule")) == []


def test_lists_and_own_types_load():
    """The example of lists, values and incident types loads."""
    found = findings(only("Lists, values and own incident types"))
    assert {each.code for each in found} <= LINT_OF_PARTS, render(found)


@pytest.mark.parametrize("line", only("Detection methods").splitlines())
def test_each_detection_line_loads(line):
    """Every `detect` that is shown is one that loads, in a signal that it fits."""
    value = 'value = "event.data.bytes"\n' if re.search(r'"(sum|mean|min|max|quantile)"', line) else ""
    found = findings(f'[signal.a]\non = "x"\nby = {{ k = "event.subject" }}\n{value}{line}\n')
    assert {each.code for each in found} <= LINT_OF_PARTS, render(found)


def test_the_signal_with_a_watch_loads():
    """The example of `watched` is a signal as it stands."""
    found = findings(only("The watch list"))
    assert {each.code for each in found} <= LINT_OF_PARTS, render(found)


@pytest.mark.parametrize("line", only("Rules").splitlines())
def test_each_join_line_loads(line):
    """Every `when` that is shown is one that loads."""
    names = set(re.findall(r'"([a-z-]+)"', line))
    assert names
    signals = "".join(f'[signal.{name}]\non = "x"\n' for name in sorted(names))
    found = findings(f'{signals}[rule.r]\nincident = "availability"\nseverity = "low"\n{line}\n')
    assert {each.code for each in found} <= LINT_OF_PARTS, render(found)


def test_the_example_of_a_rule_test_is_one():
    """The example of a test file is read without a finding."""
    file = parse_toml(only("Rule tests").encode(), "example.test.toml")
    assert isinstance(file, TomlFile)
    tests, found = parse_tests(file)
    assert (len(tests), found) == (1, [])


def test_no_block_of_the_language_page_is_left_out():
    """Each TOML block of docs/rules.md stands below a heading that a test above knows."""
    known = {"A first rule", "Lists, values and own incident types", "Detection methods", "Rules", "Rule tests"}
    known.add("The watch list")
    assert {heading for heading, blocks in RULES.items() if any(kind == "toml" for kind, _ in blocks)} == known


def test_the_first_rule_of_the_readme_works_literally(tmp_path, monkeypatch):
    """Its two files, saved under the names that it gives, pass the commands that it shows, word by word."""
    heading = "Your first rule, in five minutes"
    files = [text for kind, text in README[heading] if kind == "toml"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.search(r"Make a folder `([\w-]+)` with a file `([\w.-]+)`:", text)
    beside = re.search(r"and, beside it, what it should do, as `([\w.-]+)`:", text)
    assert named, "say which folder and file"
    assert beside, "say which file the test is"
    folder = tmp_path / named[1]
    folder.mkdir()
    for name, content in zip((named[2], beside[1]), files, strict=True):
        (folder / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    [commands] = [text for kind, text in README[heading] if kind == "console"]
    shown = re.findall(r"^\$ halon (check|test) ([^#\n]+?) *(?:#.*)?$", commands, re.MULTILINE)
    assert shown == [("check", named[1]), ("test", named[1])]
    check, test = (CliRunner().invoke(main, [name, *args.split()], prog_name="halon") for name, args in shown)
    assert check.exit_code == 0, check.output
    assert check.output.startswith("ok: 1 rule, 1 signal, 1 playbook"), check.output
    assert "warning" not in check.output
    assert test.exit_code == 0, test.output
    assert "2 passed" in test.output


COMMANDS = re.findall(r"`halon ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_of_the_readme_exists(command):
    """Each `halon …` that the README names has a help text."""
    result = CliRunner().invoke(main, [command, "--help"], prog_name="halon")
    assert result.exit_code == 0, result.output

"""docs/diagnostics.md: every code has its section, whose examples do what they say."""

import re
from pathlib import Path

import pytest

from actions.table import CATALOGUE
from engine.configfile import load_config
from engine.detectors.table import DETECTORS
from engine.diagnostics import CODES, render
from engine.rulefile.load import load_rules

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "diagnostics.md").read_text(encoding="utf-8")
UNUSED = {"H101", "H102", "H103", "H111"}
SECTIONS = {
    match[1]: (match[2], match[3])
    for match in re.finditer(r"^### (H\d+) ([^\n]*)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
}


def examples(code):
    return re.findall(r"^```(\w+)\n(.*?)^```", SECTIONS[code][1], re.MULTILINE | re.DOTALL)


def findings(text, folder):
    """What is found in an example; a line `# NAME.toml` begins another file of it."""
    parts = re.split(r"^# ([\w.-]+\.toml)\n", text, flags=re.MULTILINE)
    files = dict(zip(parts[1::2], parts[2::2], strict=True)) or {"rules.toml": text}
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    if "config.toml" in files:
        return load_config(folder / "config.toml", catalogue=CATALOGUE)[1]
    return load_rules([folder], catalogue=CATALOGUE, detectors=DETECTORS)[1]


def test_every_code_has_its_section():
    """The page lists exactly the codes of the table, in their order, under their titles."""
    assert [(code, title) for code, (title, _) in SECTIONS.items()] == list(CODES.items())


@pytest.mark.parametrize("code", CODES)
def test_the_examples_do_what_they_say(code, tmp_path):
    """The first example gives the code, the second gives no finding."""
    (bad_kind, bad), (good_kind, good) = examples(code)
    assert SECTIONS[code][1].split("```", 1)[0].strip(), "say what the code means"
    if bad_kind == "toml":
        (tmp_path / "bad").mkdir()
        found = findings(bad, tmp_path / "bad")
        assert code in {each.code for each in found}, render(found)
    if good_kind == "toml":
        (tmp_path / "good").mkdir()
        # An example need not be a whole: what it declares may be used elsewhere.
        found = [each for each in findings(good, tmp_path / "good") if each.code == code or each.code not in UNUSED]
        assert found == [], render(found)

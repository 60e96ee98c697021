"""How findings look, case by case, and that every code has a case and a page.

Each folder of tests/golden/diagnostics holds one mistake (rule files, or a config.toml) and what `halon check` says of
it. `HALON_UPDATE_GOLDEN=1` writes the expectations anew; read them before you commit them.
"""

import os
import re
from pathlib import Path

import pytest

from engine.configfile import load_config
from engine.diagnostics import (
    CODES,
    Diagnostic,
    Level,
    Note,
    Span,
    has_errors,
    quoted,
    render,
    sort,
    suggest,
    to_json,
)
from engine.rulefile.load import load_rules
from tests.support.plugins import CATALOGUE, DETECTORS

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "diagnostics"
OF_THE_MACHINE = {"H070", "H071", "H072", "H073"}
"""What only `halon check --live` finds; its cases stand in tests/survey."""
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
SPAN = Span(path="rules.toml", line=3, column=5, length=4, source_line="abc defg hij")


def findings(folder):
    """What the loaders find in a folder, with paths as seen from inside it."""
    if Path("config.toml").exists():
        return load_config(Path("config.toml"), catalogue=CATALOGUE)
    listed = Path("paths.txt")
    paths = [Path(line) for line in listed.read_text().split()] if listed.exists() else [Path()]
    return load_rules(paths, catalogue=CATALOGUE, detectors=DETECTORS)


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_reported_as_written_down(name, monkeypatch):
    """The rendered findings equal the golden file, and nothing loads where one of them is an error."""
    monkeypatch.chdir(GOLDEN / name)
    made, found = findings(name)
    rendered = render(found)
    expected = Path("expected.txt")
    if os.environ.get("HALON_UPDATE_GOLDEN"):
        expected.write_text(rendered, encoding="utf-8")
    assert rendered == expected.read_text(encoding="utf-8")
    assert found
    assert (made is None) == has_errors(found)


def test_every_code_has_a_golden_case():
    """No code without a case that shows it, and no case with a code that is not listed."""
    shown = {
        code
        for name in CASES
        for code in re.findall(r"^(?:error|warning)\[(H\d+)\]", (GOLDEN / name / "expected.txt").read_text(), re.M)
    }
    assert shown == set(CODES) - OF_THE_MACHINE, "add a folder to tests/golden/diagnostics, or remove the code"


def test_a_finding_without_a_place_is_title_and_help():
    """The title stands alone, help below it."""
    found = Diagnostic(code="H001", level=Level.WARNING, title="nothing there", help="look elsewhere")
    assert render([found]) == "warning[H001]: nothing there\n  = help: look elsewhere\n"


def test_two_findings_have_a_blank_line_between():
    """Findings are set apart."""
    found = Diagnostic(code="H001", level=Level.ERROR, title="t")
    assert render([found, found]) == "error[H001]: t\n\nerror[H001]: t\n"


@pytest.mark.parametrize(
    ("line", "column", "length", "shown", "marks"),
    [
        ("a = bcd", 5, 3, "a = bcd", "    ^^^"),
        ("\ta = b", 6, 1, " a = b", "     ^"),
        ("a = '模型' + x", 12, 1, "a = '模型' + x", " " * 13 + "^"),
        ("a = '模型'", 6, 2, "a = '模型'", "     ^^^^"),
        ("a = \x1b[31m", 5, 1, "a = �[31m", "    ^"),
        ("a = \u202eb", 6, 1, "a = �b", "     ^"),
        ("short", 99, 5, "short", "     ^"),
    ],
)
def test_carets_stand_below_what_is_meant(line, column, length, shown, marks):
    """Tabs, wide characters and what would steer a terminal do not move the carets."""
    span = Span(path="x", line=1, column=column, length=length, source_line=line)
    lines = render([Diagnostic(code="H001", level=Level.ERROR, title="t", span=span)]).splitlines()
    assert lines[2:4] == [f"1 | {shown}", f"  | {marks}"]


def test_of_a_long_line_the_part_around_the_carets_is_shown():
    """A line of a megabyte stays readable, and its carets are right."""
    span = Span(path="x", line=1, column=500_001, length=4, source_line="x" * 500_000 + "HERE" + "y" * 500_000)
    shown, marks = render([Diagnostic(code="H001", level=Level.ERROR, title="t", span=span)]).splitlines()[2:4]
    assert len(shown) < 200
    assert shown[marks.index("^") : marks.rindex("^") + 1] == "HERE"


def test_a_second_place_is_shown_below_the_first():
    """Notes carry their own place, and both gutters line up."""
    note = Note(span=Span(path="a.toml", line=120, column=1, length=3, source_line="abc"), label="first here")
    found = Diagnostic(code="H009", level=Level.ERROR, title="twice", span=SPAN, label="again", notes=(note,))
    assert render([found]) == (
        "error[H009]: twice\n   --> rules.toml:3:5\n  3 | abc defg hij\n    |     ^^^^ again\n"
        "   ::: a.toml:120:1\n120 | abc\n    | --- first here\n"
    )


def test_json_carries_all_that_the_text_does():
    """Programs get code, level, place, label, help and notes."""
    note = Note(span=SPAN, label="first")
    found = Diagnostic(code="H009", level=Level.ERROR, title="t", span=SPAN, label="l", help="h", notes=(note,))
    place = {"path": "rules.toml", "line": 3, "column": 5, "length": 4}
    assert to_json(found) == {
        "code": "H009",
        "level": "error",
        "title": "t",
        "label": "l",
        "help": "h",
        **place,
        "notes": [{"label": "first", **place}],
    }


def test_findings_are_sorted_by_place():
    """Those without a place come first, then by file, line and column."""
    late, early = (Diagnostic(code="H004", level=Level.ERROR, title=str(n), span=SPAN) for n in (1, 2))
    late = Diagnostic(code="H004", level=Level.ERROR, title="late", span=Span(path="z", line=1, column=1))
    none = Diagnostic(code="H001", level=Level.WARNING, title="none")
    assert sort([late, early, none]) == [none, early, late]


def test_suggestions_are_close_or_absent_and_fast_on_very_many_names():
    """A near miss is hinted at, nonsense is not; twenty thousand names cost little."""
    assert suggest("slurm.suspnd", ["slurm.suspend", "k8s.scale"]) == "did you mean `slurm.suspend`?"
    assert suggest("zzz", ["slurm.suspend"]) == ""
    many = [f"signal-{n:05}" for n in range(20_000)]
    assert suggest("signal-0012", many).startswith("did you mean `signal-")


def test_long_names_are_cut():
    """A name of a megabyte does not become a title of one."""
    assert len(quoted("x" * 1_000_000)) < 100
    found = Diagnostic(code="H001", level=Level.ERROR, title="x" * 1_000_000, help="y" * 1_000_000)
    assert len(render([found])) < 2_000

"""`*.test.toml` to results: what passes, what differs and how it is shown, and mistakes in test files."""

import pytest

from engine.diagnostics import render
from engine.ruletest import check_tests, load_tests, parse_tests, run_test
from engine.tomlfile import TomlFile, parse_toml
from tests.support.rules import rules_of

RULES = rules_of("""
[signal.many]
on = "t"
by = { run = "event.subject" }
detect = { method = "count", at_least = 3, within = "10s" }
watched = { at_least = 2 }
[signal.silent]
on = "beat"
by = { run = "event.subject" }
detect = { method = "absence", for = "30s" }
[rule.r]
incident = "fairness"
severity = "high"
by = ["run"]
when = { any = ["many"] }
playbook = "p"
[rule.q]
incident = "availability"
severity = "low"
by = ["run"]
when = { any = ["silent"] }
[rule.worse]
incident = "fairness"
severity = "critical"
by = ["run"]
when = { sequence = ["many", "many"], within = "1m" }
[playbook.p]
contain = [ { do = "evidence.capture", paths = ["${event.data.path}"] } ]
""")
THREE = '{ at = "5s", repeat = 3, every = "2s", type = "t", subject = "x", data = { path = "/p" } }'
TWO = '{ at = "5s", repeat = 2, every = "2s", type = "t", subject = "x" }'
SIX = THREE.replace("repeat = 3", "repeat = 6")
FAIRNESS = '{ at = "9s", incident = "fairness", key = { run = "x" }, contain = ["evidence.capture"] }'


def parsed(text):
    file = parse_toml(text.encode(), "a.test.toml")
    assert isinstance(file, TomlFile)
    return parse_tests(file)


def result(events, expect, more=""):
    """One test, run."""
    (test,), found = parsed(f"[test.x]\nevents = [{events}]\nexpect = [{expect}]\n{more}")
    assert found == []
    return run_test(RULES, test)


PASSING = [
    (TWO, '{ at = "7s", incident = "fairness" }', 'watch = [{ key = { run = "x" } }]'),
    (TWO, "", 'watch = [{ key = { run = "y" } }]'),
    (TWO, "", 'watch = [{ key = { run = "x" }, at = "1s", for = "6s" }]'),
    (THREE, FAIRNESS, ""),
    (THREE, '{ incident = "fairness" }', ""),
    (THREE, '{ incident = "fairness", rule = "r", severity = "high", investigate = [] }', ""),
    (THREE, '{ incident = "fairness", severity = "high", reaches = "high" }', ""),
    (SIX, '{ at = "9s", incident = "fairness", rule = "r", severity = "high", reaches = "critical" }', ""),
    ('{ at = "0s", repeat = 2, type = "t", subject = "x" }', "", ""),
    ('{ at = "0s", type = "beat", subject = "x" }', "", ""),
    ('{ at = "0s", type = "beat", subject = "x" }', "", 'until = "29s"'),
    ('{ at = "0s", type = "beat", subject = "x" }', '{ at = "30s", incident = "availability" }', ""),
    ('{ at = "0s", type = "beat", subject = "x" }', '{ incident = "availability" }', 'until = "30s"'),
    # The vaguer expectation stands first: it takes what the other cannot.
    (f"{THREE}, {THREE.replace('x', 'y', 1)}", f'{{ incident = "fairness" }}, {FAIRNESS}', ""),
]


@pytest.mark.parametrize(("events", "expect", "more"), PASSING)
def test_a_test_passes_when_exactly_the_expected_incidents_open(events, expect, more):
    """What an expectation leaves out is not compared."""
    assert result(events, expect, more).difference == ""


FAILING = [
    (THREE, "", "+ 9s  fairness  run=x  contain: evidence.capture\n"),
    ("", '{ at = "3s", incident = "fairness" }', "- 3s  fairness\n"),
    (
        THREE,
        '{ at = "8s", incident = "fairness", key = { run = "x" }, contain = [] }',
        "- 8s  fairness  run=x  contain: nothing\n+ 9s  fairness  run=x  contain: evidence.capture\n",
    ),
    (
        THREE,
        f'{FAIRNESS}, {{ incident = "availability", severity = "low", rule = "q" }}',
        "\n".join(
            [
                "- at any time  availability  by rule q  low",
                "  9s  fairness  run=x  by rule r  high  contain: evidence.capture",
                "",
            ]
        ),
    ),
]

FAILING.append(
    (
        SIX,
        '{ incident = "fairness", reaches = "high", contain = [] }',
        (
            "- at any time  fairness  reaches high  contain: nothing\n"
            "+ 9s  fairness  run=x  reaches critical  contain: evidence.capture\n"
        ),
    )
)


@pytest.mark.parametrize(("events", "expect", "difference"), FAILING)
def test_a_difference_shows_both_timelines(events, expect, difference):
    """`-` was expected and did not happen, `+` happened and was not expected, the rest is as it should be."""
    assert result(events, expect).difference == difference


def test_a_step_that_could_never_run_is_no_containment():
    """A parameter without a value holds the step: the test says so instead of passing."""
    failed = result(
        '{ at = "0s", repeat = 3, type = "t", subject = "x" }',
        '{ incident = "fairness", contain = ["evidence.capture"] }',
    )
    assert not failed.passed
    assert "evidence.capture (held: `paths` can't be evaluated" in failed.difference
    assert [each.field for each in failed.faults] == ["contain[0].paths"]


MISTAKES = [
    ("[tests.x]\n", "H004"),
    ("test = 1\n", "H006"),
    ("[test.x]\nexpect = []\n", "H005"),
    ("[test.x]\nevents = []\n", "H005"),
    ('[test.x]\nevents = [{ at = "soon", type = "t" }]\nexpect = []\n', "H008"),
    ('[test.x]\nevents = [{ at = "1s", typ = "t" }]\nexpect = []\n', "H004"),
    ('[test.x]\nevents = [{ at = "1s", type = "t", data = 2026-01-01 }]\nexpect = []\n', "H006"),
    ('[test.x]\nevents = [{ at = "1s", type = "t", data = { x = nan } }]\nexpect = []\n', "H007"),
    ('[test.x]\nevents = [{ at = "1s", type = "t", repeat = 9_999_999 }]\nexpect = []\n', "H007"),
    ('[test.x]\nevents = []\nexpect = [{ incident = "a", severity = "huge" }]\n', "H007"),
]


@pytest.mark.parametrize(("text", "code"), MISTAKES)
def test_mistakes_in_test_files_are_diagnostics_with_a_place(text, code):
    """No mistake raises, each has a code and a line."""
    tests, found = parsed(text)
    assert code in {each.code for each in found}, render(found)
    assert all(each.span is not None for each in found)
    assert tests == []


def test_names_that_no_rule_can_bring_about_are_mistakes():
    """A test that expects an unknown incident type or rule could only fail, or worse, be taken for covered."""
    tests, _ = parsed('[test.x]\nevents = []\nexpect = [{ incident = "fairnes", rule = "z" }]\n')
    found = check_tests(tests, RULES)
    assert [(each.code, each.span.line) for each in found] == [("H014", 3), ("H011", 3)]
    assert found[0].help == "did you mean `fairness`?"


def test_folders_are_searched_for_test_files_and_unreadable_ones_told(tmp_path):
    """Only `*.test.toml`, in order of their names."""
    good = "[test.x]\nevents = []\nexpect = []\n"
    (tmp_path / "b.test.toml").write_text(good)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.test.toml").write_text(good)
    (tmp_path / "rules.toml").write_text("nonsense")
    (tmp_path / "c.test.toml").write_text("= nonsense")
    tests, found = load_tests([tmp_path])
    assert [each.name for each in tests] == ["x", "x"]
    assert [each.code for each in found] == ["H002"]

"""docs/coverage.md: current, whole, and without an empty cell."""

import re

import pytest

from actions.table import CATALOGUE
from engine.cli import main
from engine.rulefile.taxonomy import TAXONOMY
from scripts.gen_coverage import PAGE, cells_of, render_page, sections
from tests.support.shipped import shipped_rules

ROWS = [(section.name, row) for section in sections() for row in section.rows]
COUNTS = [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 2, 4, 4, 4, 4]
"""How many rows the handbook has under each of its headings."""


def test_the_page_is_current():
    """It is what the rules say."""
    assert PAGE.read_text(encoding="utf-8") == render_page(), "run `make docs` and commit docs/coverage.md"


def test_no_row_is_missing():
    """Every heading of the handbook has all of its rows, each once."""
    assert [len(section.rows) for section in sections()] == COUNTS
    names = [(section, row.name) for section, row in ROWS]
    assert len(set(names)) == len(names)
    begun = {kind for _, row in ROWS for kind in row.incidents}
    assert begun == set(TAXONOMY)


@pytest.mark.parametrize(("section", "row"), ROWS, ids=[row.name for _, row in ROWS])
def test_no_cell_is_empty(section, row):
    """Each row has signals, rules and actions, and what it begins at exists."""
    cells = cells_of(row, shipped_rules())
    assert all((cells.signals, cells.rules, cells.actions)), f"{section}: {row.name} has an empty cell"
    assert sum(map(bool, (row.incidents, row.signals, row.actions, row.words))) == 1
    assert set(row.signals) <= set(shipped_rules().signals)
    assert set(row.actions) <= set(CATALOGUE.actions)
    used = {
        step.action
        for each in shipped_rules().playbooks.values()
        for step in (*each.contain, *each.investigate, *each.recover)
    }
    assert set(row.actions) <= used, "an action that no playbook takes"


def test_the_page_shows_no_empty_cell():
    """As the page is rendered, no cell of a row is blank."""
    rows = [line for line in render_page().splitlines() if line.startswith("| ") and not line.startswith("| |")]
    assert len(rows) > len(ROWS)
    assert not [line for line in rows if re.search(r"\|\s*\|", line)]


def test_every_command_that_is_named_exists():
    """`halon …` in a cell is one that can be typed."""
    named = set(re.findall(r"`halon ([a-z ]+?)(?: --[a-z]+)?`", render_page()))
    assert named
    for words in named:
        command = main
        for word in words.split():
            command = command.get_command(None, word)
            assert command is not None, words

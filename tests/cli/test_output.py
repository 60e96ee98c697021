"""What reaches the terminal."""

import io

import pytest
from rich.console import Console

from engine.cli import output
from engine.cli.output import clean, duration_text, flowing, key_text, plural, say_whole, table


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0.0, "0.0 ms"),
        (16.54, "16.5 ms"),
        (999.0, "999.0 ms"),
        (1_250.0, "1.25 s"),
        (240_000.0, "4.0 min"),
        (3.5 * 86_400_000, "3.5 d"),
        (-2.0, "-2.0 ms"),
    ],
)
def test_a_length_of_time_is_as_exact_as_it_is_telling(milliseconds, text):
    """Milliseconds, seconds, minutes, days."""
    assert duration_text(milliseconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\tb\nc", "a b\nc"),
        ("\x1b[31mred\x1b[0m", "�[31mred�[0m"),
        ("\u202egnp.exe", "�gnp.exe"),
        ("\x9b2J", "�2J"),
        ("[bold]é漢[/bold]", "[bold]é漢[/bold]"),
    ],
)
def test_nothing_from_outside_steers_the_terminal(text, shown):
    """Control characters and direction overrides are marked; letters of any language stay."""
    assert clean(text) == shown


def test_counts_and_keys_read_well():
    """One rule, two rules, a thousand with a comma; a key by its names, the empty one as all."""
    assert [plural(each, "rule") for each in (0, 1, 2, 1_000)] == ["0 rules", "1 rule", "2 rules", "1,000 rules"]
    assert [key_text(each) for each in ({}, {"run": "7"})] == ["(all)", "run=7"]


def shown_at(monkeypatch, width, *, columns, rows):
    """The lines of a table on a terminal of that width."""
    stream = io.StringIO()
    made = Console(file=stream, width=width, force_terminal=True, color_system=None, markup=False, highlight=False)
    monkeypatch.setattr(output, "console", lambda: made)
    table(columns, rows)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_narrow_terminal_loses_what_can_be_done_without_and_never_part_of_an_id(monkeypatch):
    """Optional columns go from the right, text is folded, what one copies stays whole."""
    columns = ("ID", "~TEXT", "?>COUNT", "?MORE")
    rows = [("inc-213219d67437", "some words that are long", 7, "xxxxxxxxxxxxxxxxxxxx")]
    wide = shown_at(monkeypatch, 100, columns=columns, rows=rows)
    assert wide == [
        "ID                TEXT                      COUNT  MORE",
        "inc-213219d67437  some words that are long      7  xxxxxxxxxxxxxxxxxxxx",
    ]
    narrow = shown_at(monkeypatch, 50, columns=columns, rows=rows)
    assert narrow[0] == "ID                TEXT                      COUNT"
    narrowest = shown_at(monkeypatch, 32, columns=columns, rows=rows)
    assert narrowest[0] == "ID                TEXT"
    assert narrowest[1].startswith("inc-213219d67437  some words")
    assert len(narrowest) == 3


def test_paragraphs_flow_and_lists_stay():
    """A paragraph is one line, whatever the source's lines were; a list and what is indented keep theirs."""
    assert flowing("Stops\na process.\n\nThen\nno more.") == "Stops a process.\n\nThen no more."
    for laid_out in ("Two:\n* one\n* two", "As\n  halon top", "```sh\nhalon top\n```"):
        assert flowing(laid_out) == laid_out


def test_what_is_to_be_copied_stays_in_one_line(capsys, monkeypatch):
    """On a terminal that is too narrow, too; what would steer it is marked."""
    made = Console(width=20, force_terminal=True, color_system=None, markup=False, highlight=False)
    monkeypatch.setattr(output, "console", lambda: made)
    say_whole('contain = [{ do = "process.freeze", pid = 4242 }]\x1b')
    assert capsys.readouterr().out == 'contain = [{ do = "process.freeze", pid = 4242 }]�\n'

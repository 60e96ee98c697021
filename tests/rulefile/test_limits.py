"""Pathological rule files load within the limits that docs/rules.md states, or are refused with a diagnostic.

The times are of the processor, and generous: what they catch is work that grows faster than the file.
"""

import re
import time
from pathlib import Path

import pytest

from engine.cel.environment import SOURCE_CHARS_MAX
from engine.cel.template import TEMPLATE_CHARS_MAX
from engine.detectors.table import DETECTORS
from engine.diagnostics import Diagnostic, render
from engine.rulefile import files, findings, shape, signals
from engine.rulefile.load import check_files
from engine.rulefile.playbooks import STEPS_MAX
from engine.tomlfile import FILE_BYTES_MAX, parse_toml
from tests.support.rules import catalogue

SECONDS_MAX = 30
SIGNAL = '[signal.a]\non = "t"\nby = { k = "event.subject" }\n'
RULE = '[rule.r]\nincident = "availability"\nseverity = "low"\nwhen = { any = ["a"] }\n'


def where(condition):
    """A rule on a signal with this condition."""
    return f"[signal.a]\non = 't'\nwhere = '''{condition}'''\n" + RULE


def numbered(count, text):
    """The text once for each number, which stands for N in it."""
    return "".join(text.replace("N", str(number)) for number in range(count))


ONE_RULE = '[rule.rN]\nincident = "availability"\nseverity = "low"\nwhen = { any = ["NAME"] }\n'

LOADS = {
    "10,000 rules on one signal": SIGNAL + numbered(10_000, ONE_RULE.replace("NAME", "a")),
    "5,000 signals of one condition, each with its rule": numbered(
        5_000, '[signal.sN]\non = "t"\nwhere = "event.data.score > N.0"\n' + ONE_RULE.replace("NAME", "sN")
    ),
    "a list of 100,000 values": "[list.big]\nvalues = ["
    + numbered(100_000, "'hN',")
    + "]\n"
    + where("event.subject in list.big"),
    "100,000 event types": "[signal.a]\non = [" + numbered(100_000, '"tN",') + "]\n" + RULE,
    "a sequence of 10,000": SIGNAL
    + RULE.replace('{ any = ["a"] }', "{ within = '1h', sequence = [" + '"a",' * 10_000 + "] }"),
    "a million comments": "#\n" * 1_000_000,
    "macros in macros": where("".join(f"event.data.x.exists(v{n}, " for n in range(10)) + "true" + ")" * 10),
    "a condition of 400 parts": where(" && ".join(f"event.data.x > {n}" for n in range(400))),
    "an expression of 3,000 alternatives": where(
        "event.subject.matches('" + "|".join(f"w{n}x" for n in range(2_500)) + "')"
    ),
    "a thousand repetitions": where("event.subject.matches('(a|b){1000}')"),
}

REFUSED = {
    "brackets 5,000 deep": ("x = " + "[" * 5_000 + "]" * 5_000, "H003"),
    "dots 100,000 deep": ("a." * 100_000 + "b = 1\n", "H003"),
    "tables 300 deep": ("".join(f"[{'.'.join(['a'] * depth)}]\n" for depth in range(1, 300)), "H003"),
    "a file past its limit": ("#" * (FILE_BYTES_MAX + 1), "H003"),
    "too many values": ("[list.big]\nvalues = [" + "1," * (shape.VALUES_MAX + 1) + "]\n", "H007"),
    "too many names": (
        SIGNAL + RULE.replace('["a"]', "[" + '"a",' * (shape.NAMES_MAX + 1) + "]"),
        "H007",
    ),
    "100,000 wrong values": ("[list.big]\nvalues = [" + "[1]," * 100_000 + "]\n", "H006"),
    "100,000 unknown keys": ('[signal.a]\non = "t"\n' + numbered(100_000, "kN = 1\n"), "H004"),
    "100,000 unknown tables": (numbered(100_000, "[xN]\n"), "H004"),
    "10,000 steps": ("[playbook.p]\ncontain = [" + "{ do = 'process.freeze', pid = 1 }," * 10_000 + "]\n", "H003"),
    "brackets in a condition": (where("(" * 5_000 + "true" + ")" * 5_000), "H024"),
    "macros in macros, too deep": (
        where("".join(f"[1, 2, 3].map(v{n}, " for n in range(20)) + "1" + ")" * 20 + ".size() > 0"),
        "H024",
    ),
    "a condition past its limit": (where("true || " * (SOURCE_CHARS_MAX // 8) + "true"), "H024"),
    "a template past its limit": (
        "[playbook.p]\ncontain = [{ do = 'process.freeze', pid = '"
        + "${event.id}" * (TEMPLATE_CHARS_MAX // 11 + 1)
        + "' }]\n",
        "H024",
    ),
    "a hundred thousand repetitions": (where("event.subject.matches('(a|b){100000}')"), "H023"),
    "repetitions of repetitions": (where("event.subject.matches('((((a{100}){100}){100}){100})')"), "H023"),
}


def loaded(text):
    """The rules and findings of a text, in bounded time."""
    start = time.process_time()
    file = parse_toml(text.encode(), "rules.toml")
    made = (
        (None, [file])
        if isinstance(file, Diagnostic)
        else check_files([file], catalogue=catalogue(), detectors=DETECTORS)
    )
    assert time.process_time() - start < SECONDS_MAX
    assert len(render(made[1])) < 5_000_000
    return made


@pytest.mark.parametrize("name", LOADS)
def test_what_is_large_loads_in_bounded_time(name):
    """Large files, and conditions that look costly, are rules like others."""
    rules, found = loaded(LOADS[name])
    assert rules is not None, render(found[:3])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_past_a_limit_is_refused_in_bounded_time(name):
    """Past a limit stands a diagnostic, within the limit of findings, never a traceback."""
    text, code = REFUSED[name]
    rules, found = loaded(text)
    assert rules is None
    assert code in {each.code for each in found}, render(found[:3])
    assert len(found) <= findings.FINDINGS_MAX + 1


def test_the_page_states_the_limits_that_hold():
    """The numbers of `Limits` in docs/rules.md are those of the code."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
    section = re.search(r"^## Limits\n(.*?)^(?:## |---)", page, re.MULTILINE | re.DOTALL)
    assert section, "docs/rules.md needs a section `Limits`"
    stated = {
        int(number.replace(",", "")) for number in re.findall(r"(?<![\w.])\d{1,3}(?:,\d{3})*(?![\w.,]\d)", section[1])
    }
    for limit in (
        FILE_BYTES_MAX // 1_048_576,
        files.FILES_MAX,
        files.TOTAL_CHARS_MAX // 1_048_576,
        findings.FINDINGS_MAX,
        shape.NAMES_MAX,
        shape.VALUES_MAX,
        signals.KEYS_MAX,
        STEPS_MAX,
        SOURCE_CHARS_MAX,
        TEMPLATE_CHARS_MAX,
    ):
        assert limit in stated, f"{limit:,} is not stated"

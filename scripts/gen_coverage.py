"""Writes docs/coverage.md from the shipped rules and scripts/coverage.toml. `make docs` runs it; it is held current."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import tomli

from actions.table import CATALOGUE
from engine.detectors.table import DETECTORS
from engine.diagnostics import render
from engine.model import Phase
from engine.rulefile.load import load_rules
from engine.rulefile.rules import Rule, RuleSet
from engine.rulefile.taxonomy import TAXONOMY

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/coverage.md"
ROWS = ROOT / "scripts/coverage.toml"
FRAMEWORKS = ROOT / "docs/frameworks.toml"
SHOWN_MAX = 9
"""Names in one cell; the rest is counted."""
HEAD = """# Coverage

<!-- Generated from the rules and scripts/coverage.toml by `make docs`; change those. -->

What the shipped rules see and do, row by row of the handbook "Incident Response for AI" that Halon follows, from what
is to be looked at to what is done. Cells name at most nine; the rule files have all. What each signal eats is in
[events.md](events.md), how it judges in [detectors.md](detectors.md), what an action does in [actions.md](actions.md).
"""


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """One row: where it begins, or three cells in words."""

    name: str
    incidents: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    words: Annotated[tuple[str, ...], msgspec.Meta(max_length=3)] = ()


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """A heading of the handbook and its rows."""

    name: str
    rows: tuple[Row, ...]


class Cells(msgspec.Struct):
    """What a row shows: signals, rules, actions and commands, each in backquotes, or words."""

    signals: tuple[str, ...]
    rules: tuple[str, ...]
    actions: tuple[str, ...]


def main() -> None:
    """Writes the page."""
    PAGE.write_text(render_page(), encoding="utf-8")


def shipped_rules() -> RuleSet:
    """The rules of this tree; stops with the findings where they are wrong."""
    rules, found = load_rules([ROOT / "rules"], catalogue=CATALOGUE, detectors=DETECTORS)
    if rules is None:
        raise SystemExit(render(found))
    return rules


def sections() -> list[Section]:
    """The rows of scripts/coverage.toml."""
    return msgspec.convert(tomli.loads(ROWS.read_text(encoding="utf-8"))["section"], list[Section])


def render_page() -> str:
    """The whole page."""
    rules = shipped_rules()
    parts = [HEAD, _types(rules)]
    for section in sections():
        lines = [f"## {section.name}\n", "| | signals | rules | actions |", "|---|---|---|---|"]
        for row in section.rows:
            cells = cells_of(row, rules)
            shown = " | ".join(map(_cell, (cells.signals, cells.rules, cells.actions)))
            lines.append(f"| {row.name} | {shown} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def cells_of(row: Row, rules: RuleSet) -> Cells:
    """What a row shows. A row in words shows them; the others follow the rules from where they begin."""
    if row.words:
        return Cells(*((each,) for each in row.words))
    chosen = [each for each in rules.rules.values() if _begins(row, each, rules)]
    signals = row.signals or _signals(chosen)
    actions = row.actions or _actions(chosen, rules)
    commands = [f"halon {each}" for each in row.commands]
    return Cells(_quoted(signals), _quoted(each.id for each in chosen), _quoted([*commands, *actions]))


def _begins(row: Row, rule: Rule, rules: RuleSet) -> bool:
    """Whether the rule has what the row begins at: its type, one of its signals, one of its actions."""
    return (
        rule.incident in row.incidents
        or not set(row.signals).isdisjoint(rule.when.of.signals)
        or not set(row.signals).isdisjoint(rule.when.none)
        or not set(row.actions).isdisjoint(_actions([rule], rules))
    )


def _signals(chosen: Iterable[Rule]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for rule in chosen for name in rule.when.of.signals))


def _actions(chosen: Iterable[Rule], rules: RuleSet) -> tuple[str, ...]:
    """The actions of their playbooks, containment first."""
    found: dict[str, None] = {}
    for phase in Phase:
        for rule in chosen:
            playbook = rules.playbooks.get(rule.playbook) if rule.playbook else None
            for step in getattr(playbook, phase.value, ()):
                found[step.action] = None
    return tuple(found)


def _types(rules: RuleSet) -> str:
    """Each incident type with its ladder of rules and the techniques that they are tagged with."""
    names = tomli.loads(FRAMEWORKS.read_text(encoding="utf-8"))
    head = "| type | rules, by severity | techniques of MITRE ATLAS, risks of OWASP |"
    lines = ["## Incident types\n", head, "|---|---|---|"]
    for kind in rules.incidents:
        own = [each for each in rules.rules.values() if each.incident == kind]
        ladder = (f"`{each.id}` ({each.severity.value})" for each in sorted(own, key=lambda each: each.severity.rank))
        told = "; ".join(_told(tag, names) for tag in sorted({tag for each in own for tag in each.tags}))
        declared = "" if kind in TAXONOMY else " (own)"
        lines.append(f"| `{kind}`{declared} | {', '.join(ladder)} | {told or 'none: it is no attack technique'} |")
    return "\n".join(lines) + "\n"


def _told(tag: str, names: dict[str, dict[str, str]]) -> str:
    framework, _, id_ = tag.partition(":")
    return f"{id_} {names[framework][id_]}"


def _quoted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"`{each}`" for each in names)


def _cell(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN_MAX
    shown = ", ".join(names[:SHOWN_MAX])
    return f"{shown} and {rest} more" if rest > 0 else shown


if __name__ == "__main__":
    main()

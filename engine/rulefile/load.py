"""Rules folders to a `RuleSet`, or to every mistake of every file at once.

`engine.app` (start, reload), `halon check`, `halon test` and `halon replay` call `load_rules`. First all tables of all
files are gathered, then lists and incident types are read, then signals, playbooks and rules are built on them. A name
is unknown only where no file declares it; what is declared wrongly is reported once, where it stands.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.action import Catalogue
from engine.clock import SECOND_US
from engine.collector import at_rest
from engine.detectors.contract import DetectorTable
from engine.diagnostics import Diagnostic, has_errors
from engine.model import IncidentType, Json
from engine.rulefile.context import Context
from engine.rulefile.digests import digest
from engine.rulefile.files import read_files
from engine.rulefile.findings import Findings
from engine.rulefile.joins import build_rule
from engine.rulefile.lint import lint
from engine.rulefile.namespace import KINDS, Namespace, gather
from engine.rulefile.playbooks import build_playbook
from engine.rulefile.rules import RuleSet
from engine.rulefile.shape import IncidentTable, ListTable, ValueTable
from engine.rulefile.signals import build_signal
from engine.rulefile.taxonomy import TAXONOMY
from engine.structread import read_struct
from engine.tomlfile import TomlFile

STEP_TIMEOUT_US = 30 * SECOND_US
STEP_RETRIES = 2


@at_rest()
def load_rules(
    paths: Sequence[Path],
    *,
    catalogue: Catalogue,
    detectors: DetectorTable,
    step_timeout_us: int = STEP_TIMEOUT_US,
    step_retries: int = STEP_RETRIES,
) -> tuple[RuleSet | None, list[Diagnostic]]:
    """The rules of all files at `paths` (folders or files), and what is wrong with them.

    The rule set is None when a diagnostic is an error; warnings leave it usable. `step_timeout_us` and `step_retries`
    (`[contain]` in config.toml) hold for steps that name none of their own.
    """
    files, unread = read_files(paths)
    return check_files(
        files,
        unread,
        catalogue=catalogue,
        detectors=detectors,
        step_timeout_us=step_timeout_us,
        step_retries=step_retries,
    )


@at_rest()
def check_files(
    files: Sequence[TomlFile],
    unread: Sequence[Diagnostic] = (),
    *,
    catalogue: Catalogue,
    detectors: DetectorTable,
    step_timeout_us: int = STEP_TIMEOUT_US,
    step_retries: int = STEP_RETRIES,
) -> tuple[RuleSet | None, list[Diagnostic]]:
    """The rules of files that were read, and what is wrong with them; `unread` says what could not be read."""
    findings = Findings()
    findings.extend(unread)
    names = gather(files, findings)
    context = Context(
        names,
        findings,
        catalogue=catalogue,
        detectors=detectors,
        lists=_lists(names, findings),
        values=_values(names, findings),
        incidents=_incidents(names, findings),
        step_timeout_us=step_timeout_us,
        step_retries=step_retries,
        partial=has_errors(unread),
    )
    rules = _build(names, context, tuple(file.shown for file in files))
    if rules is None or findings.errors():
        return None, findings.all()
    findings.extend(lint(rules, names, catalogue))
    return rules, findings.all()


def _build(names: Namespace, context: Context, files: tuple[str, ...]) -> RuleSet | None:
    """All tables built, in the order in which they lean on each other; None where the findings are full."""
    signals, playbooks, rules = {}, {}, {}
    for entry in names.of("signal").values():
        signal = None if context.findings.full else build_signal(entry, context)
        if signal is not None:
            signals[signal.id] = signal
    for entry in names.of("playbook").values():
        playbook = None if context.findings.full else build_playbook(entry, context)
        if playbook is not None:
            playbooks[playbook.id] = playbook
    for entry in names.of("rule").values():
        rule = None if context.findings.full else build_rule(entry, context, signals)
        if rule is not None:
            rules[rule.id] = rule
    if context.findings.full:
        return None
    return RuleSet(
        signals=signals,
        rules=rules,
        playbooks=playbooks,
        incidents=context.incidents,
        lists=context.lists,
        values=context.values,
        files=files,
        digest=digest([_tables(names), sorted(each.digest for each in signals.values() if each.detect)]),
    )


def _tables(names: Namespace) -> dict[str, dict[str, Any]]:
    return {kind: {entry.id: entry.table for entry in names.of(kind).values()} for kind in KINDS}


def _lists(names: Namespace, findings: Findings) -> dict[str, tuple[Json, ...]]:
    """The named lists. One with a mistake keeps its name, so that its users are not reported too."""
    lists: dict[str, tuple[Json, ...]] = {}
    for entry in names.of("list").values():
        table, found = read_struct(ListTable, entry.table, entry.file, entry.path, what=entry.what)
        findings.extend(found)
        lists[entry.id] = () if table is None else table.values
    return lists


def _values(names: Namespace, findings: Findings) -> dict[str, Json]:
    """The named values. One with a mistake stands for 0 meanwhile, so that its users are not reported too."""
    values: dict[str, Json] = {}
    for entry in names.of("value").values():
        table, found = read_struct(ValueTable, entry.table, entry.file, entry.path, what=entry.what)
        findings.extend(found)
        if table is None:
            values[entry.id] = 0
        elif isinstance(table.value, dict):
            values[entry.id] = dict(table.value)
        else:
            values[entry.id] = table.value
    return values


def _incidents(names: Namespace, findings: Findings) -> Mapping[IncidentType, str]:
    """The taxonomy and the declared types, with their descriptions."""
    incidents = dict(TAXONOMY)
    for entry in names.of("incident").values():
        table, found = read_struct(IncidentTable, entry.table, entry.file, entry.path, what=entry.what)
        findings.extend(found)
        incidents[IncidentType(entry.id)] = "" if table is None else table.description or table.title
    return incidents

"""`halon check`: every mistake of rules and config at once, and with -v how each condition is evaluated."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from actions.table import load_catalogue
from engine.cel.contract import Expression
from engine.cel.template import Template
from engine.cli.loading import read_rules
from engine.cli.output import emit, note, plural, say, table
from engine.cli.setup import UsageFailure, config_option, json_option, shown
from engine.clock import SystemClock
from engine.config import Config
from engine.configfile import load_config
from engine.diagnostics import Diagnostic, Level, render, sort, to_json
from engine.model import Json, Struct
from engine.rulefile.rules import RuleSet, Step
from engine.ruletest import SUFFIX, check_tests, load_tests
from engine.shipped import find_config, find_places
from engine.survey import survey


class Condition(Struct, frozen=True):
    """One CEL expression: its place, text and type; `runs_on` is `python` (compiled) or `c++` (the runtime)."""

    owner: str
    field: str
    source: str
    result: str
    runs_on: str


class CheckReport(Struct, frozen=True):
    """What `halon check --json` prints. `diagnostics` are as in docs/diagnostics.md; `conditions` come with -v."""

    ok: bool
    errors: int
    warnings: int
    files: tuple[str, ...]
    rules: int
    signals: int
    playbooks: int
    diagnostics: tuple[dict[str, Json], ...] = ()
    conditions: tuple[Condition, ...] = ()


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@config_option
@click.option("--live", is_flag=True, help="Hold the config against this machine too: files, brokers, targets.")
@click.option("-v", "--verbose", is_flag=True, help="List every condition and what evaluates it.")
@json_option
def check(paths: tuple[Path, ...], config_path: Path | None, *, live: bool, verbose: bool, as_json: bool) -> None:
    """Find every mistake of all files at once.

    PATHS are rule files and folders, rule tests included; without any, the config and the rules that it names.

    With --live the config is held against the machine as well, as the user who asks and changing nothing: secrets and
    certificates, who may change rules and config, addresses, brokers, and the targets of the actions that rules use.

    Exit codes: 0 no errors, 1 errors, 2 usage.
    """
    found: list[Diagnostic] = []
    catalogue = load_catalogue()
    for problem in catalogue.problems:
        note(f"warning: {problem}", "yellow")
    files: list[str] = []
    config: Config | None = Config()
    if config_path is not None or not paths:
        path = find_config(config_path)
        if not path.is_file():
            raise UsageFailure(f"there is no config file {path}: name one with --config, or leave the option out")
        config, found_there = load_config(path, shown=shown(path), catalogue=catalogue.catalogue)
        found += found_there
        files.append(shown(path))
        if not paths and config is not None:
            paths = find_places(config, path.parent).rules
    rules: RuleSet | None = None
    if paths:
        rule_paths = tuple(path for path in paths if not path.name.endswith(SUFFIX))
        rules, found_there = read_rules(rule_paths, catalogue.catalogue, config or Config())
        tests, in_tests = load_tests([Path(shown(path)) for path in paths if path.is_dir() or path not in rule_paths])
        found += [*found_there, *in_tests, *(check_tests(tests, rules) if rules is not None and rule_paths else ())]
        files += dict.fromkeys(each.file for each in tests)
    if live and config is not None:
        path = find_config(config_path)
        places = find_places(config, path.parent)
        looked = survey(config, path, places, rules, catalogue.catalogue, clock=SystemClock(), shown=shown(path))
        found += asyncio.run(looked)
    report = _report(sort(found), rules, files, verbose=verbose)
    if as_json:
        emit(report)
    else:
        _print(report, sort(found))
    raise SystemExit(0 if report.ok else 1)


def _report(found: list[Diagnostic], rules: RuleSet | None, files: list[str], *, verbose: bool) -> CheckReport:
    errors = sum(each.level is Level.ERROR for each in found)
    return CheckReport(
        ok=not errors,
        errors=errors,
        warnings=len(found) - errors,
        files=(*files, *(rules.files if rules else ())),
        rules=len(rules.rules) if rules else 0,
        signals=len(rules.signals) if rules else 0,
        playbooks=len(rules.playbooks) if rules else 0,
        diagnostics=tuple(to_json(each) for each in found),
        conditions=tuple(conditions(rules)) if verbose and rules else (),
    )


def _print(report: CheckReport, found: list[Diagnostic]) -> None:
    if found:
        say(render(found))
    if report.conditions:
        table(
            ("RUNS ON", "OWNER", "FIELD", "?TYPE", "~CONDITION"),
            [(each.runs_on, each.owner, each.field, each.result, each.source) for each in report.conditions],
        )
        on_python = sum(each.runs_on == "python" for each in report.conditions)
        say(f"\n{on_python} of {plural(len(report.conditions), 'condition')} run as Python code.\n")
    if report.ok:
        extent = ", ".join(
            plural(count, thing)
            for count, thing in ((report.rules, "rule"), (report.signals, "signal"), (report.playbooks, "playbook"))
        )
        say(f"ok: {extent} in {plural(len(report.files), 'file')}", "green")
        if report.warnings:
            say(plural(report.warnings, "warning"), "yellow")
    else:
        warnings = f", {plural(report.warnings, 'warning')}" if report.warnings else ""
        say(f"{plural(report.errors, 'error')}{warnings}", "bold red")


def conditions(rules: RuleSet) -> Iterator[Condition]:
    """Every expression of a rule set, in the order of its tables."""
    for signal in rules.signals.values():
        owner = f"signal.{signal.id}"
        named = [("where", signal.where), ("value", signal.value), *((f"by.{name}", by) for name, by in signal.by)]
        if signal.detect is not None:
            named.append(("detect.of", signal.detect.of))
        for field, expression in named:
            if expression is not None:
                yield _condition(owner, field, expression)
    for playbook in rules.playbooks.values():
        for phase in ("contain", "investigate", "recover"):
            for place, step in enumerate(getattr(playbook, phase)):
                yield from _of_step(f"playbook.{playbook.id}", f"{phase}[{place}]", step)


def _of_step(owner: str, field: str, step: Step) -> Iterator[Condition]:
    if step.when is not None:
        yield _condition(owner, f"{field}.when", step.when)
    for name, value in step.params.items():
        for expression in _in_param(value):
            yield _condition(owner, f"{field}.{name}", expression)


def _in_param(value: Any) -> Iterator[Expression]:
    """The expressions inside a step's parameter, however deep."""
    match value:
        case Template(parts=parts):
            yield from (part for part in parts if not isinstance(part, str))
        case list() | tuple():
            for each in value:
                yield from _in_param(each)
        case dict():
            for each in value.values():
                yield from _in_param(each)
        case _:
            return


def _condition(owner: str, field: str, expression: Expression) -> Condition:
    return Condition(
        owner=owner,
        field=field,
        source=expression.source,
        result=expression.result,
        runs_on="python" if expression.compiled else "c++",
    )

"""Turns paths into checked rules, or into an error with all their mistakes; `check`, `test` and `replay` call it."""

from pathlib import Path

from engine.action import Catalogue
from engine.cli.setup import UsageFailure, shown
from engine.config import Config
from engine.detectors.table import DETECTORS
from engine.diagnostics import Diagnostic, has_errors, render
from engine.rulefile.load import load_rules
from engine.rulefile.rules import RuleSet


def read_rules(
    paths: tuple[Path, ...], catalogue: Catalogue, config: Config
) -> tuple[RuleSet | None, list[Diagnostic]]:
    """The rules below `paths`, or None and what is wrong with them; `config` has the defaults of steps."""
    return load_rules(
        [Path(shown(path)) for path in paths],
        catalogue=catalogue,
        detectors=DETECTORS,
        step_timeout_us=config.contain.step_timeout,
        step_retries=config.contain.retries,
    )


def require_rules(paths: tuple[Path, ...], catalogue: Catalogue, config: Config) -> RuleSet:
    """The rules below `paths`. Raises UsageFailure with all their mistakes."""
    rules, found = read_rules(paths, catalogue, config)
    if rules is None or has_errors(found):
        raise UsageFailure(f"the rules do not load; `halon check` says the same\n\n{render(found)}")
    return rules

"""`halon test`: the rule tests beside the rules, run through the same core on a virtual clock."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from actions.table import load_catalogue
from engine.cli.loading import require_rules
from engine.cli.output import duration_text, emit, plural, say, say_hanging
from engine.cli.setup import ToldGroup, UsageFailure, config_option, json_option, read_setup, shown
from engine.cli.testadd import add
from engine.clock import SystemClock
from engine.config import Config
from engine.diagnostics import render, sort, to_json
from engine.model import Json, Struct
from engine.rulefile.rules import RuleSet
from engine.ruletest import SUFFIX, RuleTest, TestResult, check_tests, load_tests, run_test
from engine.shipped import find_config

FAULTS_SHOWN_MAX = 5
DOTS_PER_LINE = 72


class TestView(Struct, frozen=True):
    """One test in `halon test --json`. `difference` shows both timelines where they differ; `faults` come with it."""

    file: str
    name: str
    passed: bool
    events: int
    difference: str = ""
    faults: tuple[str, ...] = ()


class TestReport(Struct, frozen=True):
    """What `halon test --json` prints; `diagnostics` are the mistakes in the test files themselves."""

    ok: bool
    passed: int
    failed: int
    tests: tuple[TestView, ...]
    diagnostics: tuple[dict[str, Json], ...] = ()


class RunGroup(ToldGroup):
    """`halon test PATH…` runs tests; `halon test add INCIDENT` is the one subcommand beside it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunGroup)
def test() -> None:
    """Run rule tests (`halon test [PATH…]`), or make one of an incident (`halon test add INCIDENT`)."""


@test.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--rules",
    "rules_paths",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="Rules to test, where they are not the config's or do not stand beside the tests.",
)
@config_option
@click.option("-v", "--verbose", is_flag=True, help="Name each test instead of a dot.")
@json_option
def run(
    paths: tuple[Path, ...], rules_paths: tuple[Path, ...], config_path: Path | None, *, verbose: bool, as_json: bool
) -> None:
    """Run rule tests: the events of each on a virtual timeline, against the incidents it expects.

    PATHS are test files (*.test.toml) and folders with them; without any, the config's rules folders. Tests below those
    folders run against all of the config's rules, others against the rules in their own folders.

    Exit codes: 0 all pass, 1 not all, 2 usage or bad rules.
    """
    for path in paths:
        if path.is_file() and not path.name.endswith(SUFFIX):
            raise UsageFailure(f"{shown(path)} is no test file: tests stand in *{SUFFIX}, beside their rules")
    config, paths, rules_paths = _what_to_test(paths, rules_paths, config_path)
    rules = require_rules(rules_paths, load_catalogue().catalogue, config)
    tests, found = load_tests([Path(shown(path)) for path in paths])
    found = sort([*found, *check_tests(tests, rules)])
    if not tests and not found:
        raise UsageFailure(f"there are no tests (*{SUFFIX}) in {', '.join(map(shown, paths))}")
    clock = SystemClock()
    start_s = clock.monotonic_s()
    results = _run(rules, tests, config, verbose=verbose, quiet=as_json)
    took = duration_text((clock.monotonic_s() - start_s) * 1_000)
    failed = sum(not each.passed for each in results)
    ok = not failed and not found
    if as_json:
        emit(
            TestReport(
                ok=ok,
                passed=len(results) - failed,
                failed=failed,
                tests=tuple(_view(each) for each in results),
                diagnostics=tuple(to_json(each) for each in found),
            )
        )
        raise SystemExit(0 if ok else 1)
    for each in results:
        if not each.passed:
            _print_failure(each)
    if found:
        say(f"\n{render(found)}")
    files = plural(len({each.file for each in results}), "file")
    outcome = f"{len(results) - failed} passed" + (f", {failed} failed" if failed else "")
    say(f"\n{outcome} in {files}, {took}", _style(ok))
    raise SystemExit(0 if ok else 1)


def _what_to_test(
    paths: tuple[Path, ...], rules_paths: tuple[Path, ...], config_path: Path | None
) -> tuple[Config, tuple[Path, ...], tuple[Path, ...]]:
    """The config, where the tests stand, and which rules they are about."""
    usable = config_path is not None or not paths or find_config().parent == Path.cwd()
    if not usable:
        return Config(), paths, rules_paths or _beside(paths)
    setup = read_setup(config_path, load_catalogue().catalogue)
    ours = setup.places.rules
    inside = all(any(path.resolve().is_relative_to(folder.resolve()) for folder in ours) for path in paths)
    return setup.config, paths or ours, rules_paths or (ours if inside else _beside(paths))


def _beside(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folders in which the tests stand, each once."""
    return tuple(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))


def _run(rules: RuleSet, tests: Sequence[RuleTest], config: Config, *, verbose: bool, quiet: bool) -> list[TestResult]:
    """Run the tests one by one, showing how far they have come."""
    results: list[TestResult] = []
    clock = SystemClock()
    for each in tests:
        start_s = clock.monotonic_s()
        result = run_test(rules, each, config.intake)
        results.append(result)
        if quiet:
            continue
        if verbose:
            word = "PASSED" if result.passed else "FAILED"
            took = duration_text((clock.monotonic_s() - start_s) * 1_000)
            text = f"{word}  {each.file}  {each.name}  ({plural(result.events, 'event')}, {took})"
            say_hanging(text, _style(result.passed), indent=8)
        else:
            sys.stdout.write("." if result.passed else "F")
            sys.stdout.flush()
            if len(results) % DOTS_PER_LINE == 0:
                sys.stdout.write("\n")
    if results and not verbose and not quiet:
        sys.stdout.write("\n")
    return results


def _print_failure(result: TestResult) -> None:
    say_hanging(f"\nFAILED  {result.file}  {result.name}", "bold red", indent=8)
    say("  - expected, + happened, both otherwise; times count from the start of the test", "dim")
    for line in result.difference.splitlines():
        say_hanging(f"  {line}", {"-": "red", "+": "green"}.get(line[:1], ""), indent=8)
    if result.faults:
        say(f"  {plural(len(result.faults), 'evaluation')} failed, which may be why:", "yellow")
        for text in dict.fromkeys(_view(result).faults[:FAULTS_SHOWN_MAX]):
            say_hanging(f"    {text}", indent=8)


def _view(result: TestResult) -> TestView:
    texts = dict.fromkeys(f"{each.owner}, {each.field}: {each.reason}" for each in result.faults)
    return TestView(
        file=result.file,
        name=result.name,
        passed=result.passed,
        events=result.events,
        difference=result.difference,
        faults=tuple(texts),
    )


def _style(ok: bool) -> str:  # noqa: FBT001  # the one thing it is asked
    return "green" if ok else "bold red"


test.add_command(add)

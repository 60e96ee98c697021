"""What the commands of `halon forensics` share: arguments, the report on the screen, its drawing and its exit code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec

from engine.cli.output import emit, fields, say, table
from engine.cli.plotting import check_plot, save_plot
from engine.cli.setup import Failure, UsageFailure
from engine.forensics.figures import Figure, bars
from engine.forensics.report import EvidenceError, Judgement, Report, unreadable

_SHOWN_MARKS = 20
_STYLES = {Judgement.CLEAN: "green", Judgement.FINDING: "bold red", Judgement.UNREADABLE: "bold red"}

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
MadeT = TypeVar("MadeT")


def evidence(name: str) -> Callable[[FunctionT], FunctionT]:
    """An argument that names a file or folder."""
    return click.argument(name, type=click.Path(path_type=Path))


def array_name(name: str, text: str) -> Callable[[FunctionT], FunctionT]:
    """An option that names an array."""
    return click.option(name, default="", metavar="NAME", help=text)


def out_option(text: str) -> Callable[[FunctionT], FunctionT]:
    """`--out FILE`."""
    return click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help=text)


def end(
    examine: Callable[[], Report],
    technique: str,
    subject: Path,
    *,
    as_json: bool,
    plot: Path | None = None,
    figure: Callable[[Report], Figure] = bars,
) -> NoReturn:
    """Examines, prints the report, draws it where that is asked for, and ends with its exit code."""
    check_plot(plot)
    try:
        report = examine()
    except EvidenceError as error:
        report = unreadable(technique, str(subject), error)
    if as_json:
        emit(report)
    else:
        show(report)
    if plot is not None and report.judgement is not Judgement.UNREADABLE:
        save_plot(attempt(lambda: figure(report)), report, plot)
    raise SystemExit(0 if report.judgement is Judgement.CLEAN else 1)


def show(report: Report) -> None:
    """A report on the screen."""
    say(f"{report.judgement}: {report.summary}", _STYLES[report.judgement])
    about = [("subject", report.subject), ("compared with", report.compared_with or "-")]
    if report.score is not None:
        about.append(("score", f"{report.score:g}, a finding above {report.threshold:g}" if report.threshold is not None
                      else f"{report.score:g}"))  # fmt: skip
    fields(about)
    if report.marks:
        say()
        rows = [(each.where, each.score, each.why) for each in report.marks[:_SHOWN_MARKS]]
        table(("WHERE", ">SCORE", "~WHY"), rows)
    if report.marked > _SHOWN_MARKS:
        say(f"… and {report.marked - _SHOWN_MARKS:,} more; --json has up to 1,000", "dim")


def attempt(make: Callable[[], MadeT]) -> MadeT:
    """What is made of evidence; Failure where that can't be read."""
    try:
        return make()
    except EvidenceError as error:
        raise Failure(str(error)) from error


def write_new(value: object, out: Path | None) -> None:
    """JSON to a new file, or to standard output. A file that is there is never overwritten: it may be evidence."""
    if out is None:
        emit(value)
        return
    try:
        with out.open("xb") as file:
            file.write(msgspec.json.encode(value) + b"\n")
    except FileExistsError as error:
        raise UsageFailure(f"{out} exists; name another file") from error
    except OSError as error:
        raise Failure(f"can't write {out}: {error.strerror}") from error

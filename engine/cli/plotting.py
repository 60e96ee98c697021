"""Draws a figure of the forensics with matplotlib (extra `plot`), as PNG or SVG by the file's name."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, assert_never

import click

from engine.cli.output import say
from engine.cli.setup import Failure, UsageFailure
from engine.forensics.figures import Bars, Figure, Histograms, Lines, Points
from engine.forensics.report import Report

SUFFIXES = (".png", ".svg")

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def plot_option(function: FunctionT) -> FunctionT:
    """`--plot FILE`."""
    return click.option(
        "--plot",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Draw it there, as .png or .svg; needs the extra `plot`.",
    )(function)


def check_plot(path: Path | None) -> None:
    """Before an examination that may take long: whether it can be drawn at all. Raises UsageFailure or Failure."""
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise UsageFailure(f"--plot takes a name that ends in {' or '.join(SUFFIXES)}")
    _library()


def save_plot(figure: Figure, report: Report, path: Path) -> None:
    """Draw a figure under the report's judgement. Raises Failure where it can't be written."""
    drawn = _library().Figure(figsize=(9, 4.5), layout="constrained")
    axes = drawn.subplots()
    _draw(figure, axes)
    axes.set_title(f"{report.technique}: {report.judgement}", loc="left")
    drawn.supxlabel(report.summary[:160], fontsize=8)
    try:
        drawn.savefig(path, dpi=130)
    except OSError as error:
        raise Failure(f"can't write {path}: {error.strerror}") from error
    say(f"drew {path}")


def _draw(figure: Figure, axes: Any) -> None:
    match figure:
        case Bars(names=names, values=values, threshold=threshold):
            places = range(len(names))
            axes.barh(places, values)
            axes.set_yticks(places, [name[-60:] for name in names])
            axes.invert_yaxis()
            axes.set_xlabel("score")
            if threshold is not None:
                axes.axvline(threshold, linestyle="--", color="tab:red", label=f"threshold {threshold:g}")
                axes.legend()
        case Lines(places=places, curves=curves, marked=marked):
            for name, curve in curves.items():
                axes.plot(places, curve[: len(places)], label=name[-40:])
            for place in marked:
                axes.axvline(place, linestyle="--", color="tab:red")
            axes.set_yscale("log")
            axes.set_xlabel("step")
            axes.set_ylabel("gradient norm")
            axes.legend(fontsize=7)
        case Points(places=places, marked=marked):
            for wanted, label, colour in ((False, "others", "tab:blue"), (True, "suspect", "tab:red")):
                some = [place for place, is_marked in zip(places, marked, strict=True) if is_marked is wanted]
                axes.scatter(
                    [x for x, _ in some], [y for _, y in some], s=8, color=colour, label=f"{label} ({len(some)})"
                )
            axes.set_xlabel("first principal axis")
            axes.set_ylabel("second principal axis")
            axes.legend()
        case Histograms(groups=groups):
            for name, values in groups.items():
                axes.hist(values, bins=50, alpha=0.6, density=True, label=f"{name} ({len(values)})")
            axes.set_xlabel("loss")
            axes.legend()
        case _:
            assert_never(figure)


def _library() -> Any:
    try:
        return importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise Failure("--plot needs the package `matplotlib`: pip install 'halon[plot]'") from error

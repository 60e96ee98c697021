"""`halon forensics …` on data: training sets, outputs, losses and decisions become reports."""

from pathlib import Path
from typing import get_args

import click

from engine.cli.examine import array_name, attempt, end, evidence, out_option, write_new
from engine.cli.plotting import plot_option
from engine.cli.setup import json_option
from engine.forensics.examinations import (
    bias_file,
    label_file,
    membership_file,
    poison_file,
    privacy_file,
    sample_files,
)
from engine.forensics.figures import loss_histograms, sample_points
from engine.forensics.report import Report
from engine.forensics.samples import list_samples
from engine.forensics.tensors import TensorFile
from engine.personal import PERSONAL, Kind


@click.command()
@evidence("data")
@click.option("--against", type=click.Path(path_type=Path), metavar="FILE", help="A list that was written earlier.")
@out_option("Write the list there; without it, to standard output.")
@json_option
def samples(data: Path, against: Path | None, out: Path | None, *, as_json: bool) -> None:
    """List the digests of a training set, or find what was changed, relabelled, added, missing or doubled since."""
    if against is None:
        write_new(attempt(lambda: list_samples(TensorFile(data))), out)
        return
    end(lambda: sample_files(data, against), "samples", data, as_json=as_json)


@click.command()
@evidence("data")
@array_name("--features", "Array of the samples, one row each.")
@array_name("--labels", "Array of their labels.")
@out_option("Write the places of suspect samples there, for a training job to leave out.")
@plot_option
@json_option
def poison(data: Path, features: str, labels: str, out: Path | None, *, plot: Path | None, as_json: bool) -> None:
    """Find poisoned samples and backdoors in a training set, and what the trigger seems to be."""

    suspects: list[tuple[int, ...]] = []

    def examine() -> Report:
        report, left = poison_file(data, features, labels)
        suspects.append(left.leave_out)
        if out is not None:
            write_new(left, out)
        return report

    end(
        examine, "poison", data, as_json=as_json, plot=plot, figure=lambda _: sample_points(data, suspects[0], features)
    )


@click.command(name="labels")
@evidence("data")
@array_name("--features", "Array of the samples, one row each.")
@array_name("--labels", "Array of their labels.")
@array_name("--probabilities", "Array of out-of-sample class probabilities; without it, from the nearest neighbours.")
@out_option("Write the places of suspect samples there, for a training job to leave out.")
@plot_option
@json_option
def labels_command(
    data: Path, features: str, labels: str, probabilities: str, out: Path | None, *, plot: Path | None, as_json: bool
) -> None:
    """Find wrong labels by confident learning."""

    suspects: list[tuple[int, ...]] = []

    def examine() -> Report:
        report, left = label_file(data, features, labels, probabilities)
        suspects.append(left.leave_out)
        if out is not None:
            write_new(left, out)
        return report

    end(
        examine, "labels", data, as_json=as_json, plot=plot, figure=lambda _: sample_points(data, suspects[0], features)
    )


@click.command()
@evidence("text")
@click.option("--canaries", type=click.Path(path_type=Path), metavar="FILE", help="Planted texts, one per line.")
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(get_args(Kind)), help="Personal data of this kind; repeatable."
)
@json_option
def privacy(text: Path, canaries: Path | None, kinds: tuple[Kind, ...], *, as_json: bool) -> None:
    """Find personal data, secrets and planted canaries in samples or model outputs, one per line.

    Without --canaries and --kind, every kind but `url` is looked for. What was found is counted, never shown.
    """
    looked_for = kinds or (() if canaries is not None else PERSONAL)
    end(lambda: privacy_file(text, canaries, looked_for), "privacy", text, as_json=as_json)


@click.command()
@evidence("losses")
@plot_option
@json_option
def membership(losses: Path, *, plot: Path | None, as_json: bool) -> None:
    """Audit how well losses tell what was trained on: arrays `members` and `strangers`, one loss per sample."""

    end(
        lambda: membership_file(losses),
        "membership",
        losses,
        as_json=as_json,
        plot=plot,
        figure=lambda _: loss_histograms(losses),
    )


@click.command()
@evidence("decisions")
@click.option("--above", default=0.1, show_default=True, type=click.FloatRange(0, 1), help="The largest difference.")
@plot_option
@json_option
def bias(decisions: Path, above: float, *, plot: Path | None, as_json: bool) -> None:
    """Measure demographic parity and equalised odds: arrays `truth` and `decided` of 0 and 1, and `groups`."""

    end(lambda: bias_file(decisions, above), "bias", decisions, as_json=as_json, plot=plot)


DATA_COMMANDS = (samples, poison, labels_command, privacy, membership, bias)
"""In the order of the manual."""

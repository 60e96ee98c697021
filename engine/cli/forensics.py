"""`halon forensics …`: files that an investigator has become reports. Needs no daemon and no config.

Exit codes of every command: 0 clean, 1 a finding or evidence that can't be read, 2 usage.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

import click
import msgspec

from engine.cli.output import emit, fields, say, table
from engine.cli.setup import Failure, UsageFailure, json_option
from engine.forensics.examinations import (
    activation_files,
    batch_files,
    bias_file,
    gradient_file,
    label_file,
    membership_file,
    poison_file,
    privacy_file,
    sample_files,
)
from engine.forensics.integrity import examine_integrity
from engine.forensics.manifest import build_manifest, examine_folder, read_manifest
from engine.forensics.pickles import examine_pickle
from engine.forensics.report import EvidenceError, Judgement, Report, unreadable
from engine.forensics.samples import list_samples
from engine.forensics.tensors import TensorFile
from engine.forensics.validation import Bounds, validate_probe
from engine.forensics.weights import compare_weights
from engine.personal import PERSONAL, Kind

_SHOWN_MARKS = 20
_STYLES = {Judgement.CLEAN: "green", Judgement.FINDING: "bold red", Judgement.UNREADABLE: "bold red"}

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
MadeT = TypeVar("MadeT")


def _file(name: str) -> Callable[[FunctionT], FunctionT]:
    return click.argument(name, type=click.Path(path_type=Path))


def _name(name: str, text: str) -> Callable[[FunctionT], FunctionT]:
    return click.option(name, default="", metavar="NAME", help=text)


def _out(text: str) -> Callable[[FunctionT], FunctionT]:
    return click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help=text)


@click.group()
def forensics() -> None:
    """Examine models and data: files become findings, without the daemon.

    Nothing that is examined is executed or unpickled. Arrays come as .npz, .npy or .safetensors.

    Exit codes: 0 clean, 1 a finding, or evidence that can't be read, 2 usage.
    """


@forensics.command()
@_file("model")
@click.option("--sha256", "expected", required=True, metavar="HEX", help="The hash that the file should have.")
@json_option
def integrity(model: Path, expected: str, *, as_json: bool) -> None:
    """Hold a model file against its SHA-256."""
    if len(expected.strip().removeprefix("sha256:")) != 64:
        raise UsageFailure("--sha256 takes 64 hex digits, as sha256sum prints them")
    _end(lambda: examine_integrity(model, expected), "integrity", model, as_json=as_json)


@forensics.command()
@_file("folder")
@click.option("--against", type=click.Path(path_type=Path), metavar="FILE", help="A manifest that was written earlier.")
@click.option("--root", default="", metavar="HEX", help="The Merkle root that --against must have; keep it elsewhere.")
@_out("Write the manifest there; without it, to standard output.")
@json_option
def manifest(folder: Path, against: Path | None, root: str, out: Path | None, *, as_json: bool) -> None:
    """Write the manifest of a folder, or hold the folder against one: which shard is changed, added or missing."""
    if against is None:
        if root:
            raise UsageFailure("--root goes with --against")
        made = _attempt(lambda: build_manifest(folder))
        _write(made, out)
        if out is not None:
            say(f"{len(made.files)} files, Merkle root {made.root}")
        return
    _end(lambda: examine_folder(folder, read_manifest(against), root=root), "manifest", folder, as_json=as_json)


@forensics.command(name="pickle")
@_file("file")
@click.option("--allow", multiple=True, metavar="MODULE.NAME", help="Allow this import too; may be repeated.")
@json_option
def pickle_command(file: Path, allow: tuple[str, ...], *, as_json: bool) -> None:
    """Say what unpickling a .pkl, .pt, .bin or .joblib file would import and call. It is never loaded."""
    _end(lambda: examine_pickle(file, allow=allow), "pickle", file, as_json=as_json)


@forensics.command()
@_file("before")
@_file("after")
@_name("--output", "Weights of the last layer; without it, the last matrix of the file.")
@json_option
def weights(before: Path, after: Path, output: str, *, as_json: bool) -> None:
    """Compare two checkpoints layer by layer: an honest fine-tune, or a backdoor, and towards which class."""
    _end(
        lambda: compare_weights(TensorFile(before), TensorFile(after), output=output), "weights", after, as_json=as_json
    )


@forensics.command()
@_file("clean")
@_file("suspect")
@json_option
def activations(clean: Path, suspect: Path, *, as_json: bool) -> None:
    """Compare activations of a clean and a suspect set: one array of (rows, units) per layer.

    An array `labels` in the suspect file also looks for classes that fall into two.
    """

    _end(lambda: activation_files(clean, suspect), "activations", suspect, as_json=as_json)


@forensics.command()
@_file("norms")
@json_option
def gradients(norms: Path, *, as_json: bool) -> None:
    """Find where gradients began to vanish, to explode or jumped: one array of norms over the steps per layer.

    An array `steps` numbers the steps.
    """

    _end(lambda: gradient_file(norms), "gradients", norms, as_json=as_json)


@forensics.command()
@_file("reference")
@_file("batch")
@click.option("--neighbours", "k", default=10, show_default=True, type=click.IntRange(1, 1000))
@json_option
def adversarial(reference: Path, batch: Path, k: int, *, as_json: bool) -> None:
    """Find adversarial inputs in a batch: `features` and what the model said as `labels`, against a known reference."""

    _end(lambda: batch_files(reference, batch, k), "adversarial", batch, as_json=as_json)


@forensics.command()
@_file("data")
@click.option("--against", type=click.Path(path_type=Path), metavar="FILE", help="A list that was written earlier.")
@_out("Write the list there; without it, to standard output.")
@json_option
def samples(data: Path, against: Path | None, out: Path | None, *, as_json: bool) -> None:
    """List the digests of a training set, or find what was changed, relabelled, added, missing or doubled since."""
    if against is None:
        _write(_attempt(lambda: list_samples(TensorFile(data))), out)
        return
    _end(lambda: sample_files(data, against), "samples", data, as_json=as_json)


@forensics.command()
@_file("data")
@_name("--features", "Array of the samples, one row each.")
@_name("--labels", "Array of their labels.")
@_out("Write the places of suspect samples there, for a training job to leave out.")
@json_option
def poison(data: Path, features: str, labels: str, out: Path | None, *, as_json: bool) -> None:
    """Find poisoned samples and backdoors in a training set, and what the trigger seems to be."""

    def examine() -> Report:
        report, left = poison_file(data, features, labels)
        if out is not None:
            _write(left, out)
        return report

    _end(examine, "poison", data, as_json=as_json)


@forensics.command(name="labels")
@_file("data")
@_name("--features", "Array of the samples, one row each.")
@_name("--labels", "Array of their labels.")
@_name("--probabilities", "Array of out-of-sample class probabilities; without it, from the nearest neighbours.")
@_out("Write the places of suspect samples there, for a training job to leave out.")
@json_option
def labels_command(
    data: Path, features: str, labels: str, probabilities: str, out: Path | None, *, as_json: bool
) -> None:
    """Find wrong labels by confident learning."""

    def examine() -> Report:
        report, left = label_file(data, features, labels, probabilities)
        if out is not None:
            _write(left, out)
        return report

    _end(examine, "labels", data, as_json=as_json)


@forensics.command()
@_file("text")
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
    _end(lambda: privacy_file(text, canaries, looked_for), "privacy", text, as_json=as_json)


@forensics.command()
@_file("losses")
@json_option
def membership(losses: Path, *, as_json: bool) -> None:
    """Audit how well losses tell what was trained on: arrays `members` and `strangers`, one loss per sample."""

    _end(lambda: membership_file(losses), "membership", losses, as_json=as_json)


@forensics.command()
@_file("decisions")
@click.option("--above", default=0.1, show_default=True, type=click.FloatRange(0, 1), help="The largest difference.")
@json_option
def bias(decisions: Path, above: float, *, as_json: bool) -> None:
    """Measure demographic parity and equalised odds: arrays `truth` and `decided` of 0 and 1, and `groups`."""

    _end(lambda: bias_file(decisions, above), "bias", decisions, as_json=as_json)


@forensics.command()
@_file("probe")
@click.option("--accuracy-min", type=click.FloatRange(0, 1), help="Least share of `decided` that equals `truth`.")
@click.option("--fairness-max", type=click.FloatRange(0, 1), help="Largest gap between `groups`: parity or odds.")
@click.option("--drift-max", type=click.FloatRange(0), help="Largest stability index of `scores` to `reference`.")
@json_option
def validate(
    probe: Path, accuracy_min: float | None, fairness_max: float | None, drift_max: float | None, *, as_json: bool
) -> None:
    """Hold what a model says on a probe set to bounds, before it serves again: exit code 0 only within all of them."""
    bounds = Bounds(accuracy_min=accuracy_min, fairness_max=fairness_max, drift_max=drift_max)
    if not bounds.asked:
        raise UsageFailure("give --accuracy-min, --fairness-max or --drift-max")
    _end(lambda: validate_probe(TensorFile(probe), bounds), "validation", probe, as_json=as_json)


def _end(examine: Callable[[], Report], technique: str, subject: Path, *, as_json: bool) -> NoReturn:
    """Examines, prints the report, and ends with its exit code."""
    try:
        report = examine()
    except EvidenceError as error:
        report = unreadable(technique, str(subject), error)
    if as_json:
        emit(report)
    else:
        _show(report)
    raise SystemExit(0 if report.judgement is Judgement.CLEAN else 1)


def _show(report: Report) -> None:
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


def _attempt(make: Callable[[], MadeT]) -> MadeT:
    try:
        return make()
    except EvidenceError as error:
        raise Failure(str(error)) from error


def _write(value: object, out: Path | None) -> None:
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

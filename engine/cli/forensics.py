"""`halon forensics …`: files that an investigator has become reports. Needs no daemon and no config.

Exit codes of every command: 0 clean, 1 a finding or evidence that can't be read, 2 usage.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec
import numpy as np

from engine.cli.output import emit, fields, say, table
from engine.cli.setup import Failure, UsageFailure, json_option
from engine.forensics.activations import compare_activations
from engine.forensics.adversarial import examine_batch
from engine.forensics.bias import examine_bias
from engine.forensics.files import read_small
from engine.forensics.gradients import examine_gradients
from engine.forensics.integrity import examine_integrity
from engine.forensics.labels import examine_labels, knn_probabilities
from engine.forensics.manifest import build_manifest, examine_folder, read_manifest
from engine.forensics.membership import audit_membership
from engine.forensics.pickles import examine_pickle
from engine.forensics.poisoning import examine_poison
from engine.forensics.privacy import scan_canaries
from engine.forensics.report import EvidenceError, Judgement, Report, unreadable
from engine.forensics.samples import (
    compare_samples,
    list_samples,
    read_features,
    read_labels,
    read_sample_list,
)
from engine.forensics.tensors import TensorFile
from engine.forensics.weights import compare_weights

_SHOWN_MARKS = 20
_CANARIES_BYTES_MAX = 16 << 20
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

    def examine() -> Report:
        first, second = TensorFile(clean), TensorFile(suspect)
        return compare_activations(
            {each: first.floats(each) for each in first.infos if each != "labels"},
            {each: second.floats(each) for each in second.infos if each != "labels"},
            subject=str(suspect),
            compared_with=str(clean),
            suspect_labels=read_labels(second) if "labels" in second else None,
        )

    _end(examine, "activations", suspect, as_json=as_json)


@forensics.command()
@_file("norms")
@json_option
def gradients(norms: Path, *, as_json: bool) -> None:
    """Find where gradients began to vanish, to explode or jumped: one array of norms over the steps per layer.

    An array `steps` numbers the steps.
    """

    def examine() -> Report:
        file = TensorFile(norms)
        layers = [each for each in file.infos if each != "steps"]
        columns = [file.floats(each).ravel() for each in layers]
        if not columns or len({len(each) for each in columns}) != 1:
            raise EvidenceError(f"{norms}: every layer needs one norm per step, and all of them the same number")
        steps = [int(each) for each in file.floats("steps").ravel()] if "steps" in file else []
        return examine_gradients(np.stack(columns, axis=1), layers, subject=str(norms), steps=steps)

    _end(examine, "gradients", norms, as_json=as_json)


@forensics.command()
@_file("reference")
@_file("batch")
@click.option("--neighbours", "k", default=10, show_default=True, type=click.IntRange(1, 1000))
@json_option
def adversarial(reference: Path, batch: Path, k: int, *, as_json: bool) -> None:
    """Find adversarial inputs in a batch: `features` and what the model said as `labels`, against a known reference."""

    def examine() -> Report:
        known, asked = TensorFile(reference), TensorFile(batch)
        return examine_batch(
            read_features(known),
            read_labels(known),
            read_features(asked),
            read_labels(asked),
            subject=str(batch),
            compared_with=str(reference),
            k=k,
        )

    _end(examine, "adversarial", batch, as_json=as_json)


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
    _end(
        lambda: compare_samples(
            read_sample_list(against), list_samples(TensorFile(data)), subject=str(data), compared_with=str(against)
        ),
        "samples",
        data,
        as_json=as_json,
    )


@forensics.command()
@_file("data")
@_name("--features", "Array of the samples, one row each.")
@_name("--labels", "Array of their labels.")
@_out("Write the places of suspect samples there, for a training job to leave out.")
@json_option
def poison(data: Path, features: str, labels: str, out: Path | None, *, as_json: bool) -> None:
    """Find poisoned samples and backdoors in a training set, and what the trigger seems to be."""

    def examine() -> Report:
        file = TensorFile(data)
        report, suspects = examine_poison(read_features(file, features), read_labels(file, labels), subject=str(data))
        if out is not None:
            _write({"leave_out": suspects, "data": str(data), "technique": report.technique}, out)
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
        file = TensorFile(data)
        given = read_labels(file, labels)
        known = file.floats(probabilities) if probabilities else knn_probabilities(read_features(file, features), given)
        how = f"probabilities `{probabilities}`" if probabilities else "the nearest neighbours of each sample"
        report, suspects = examine_labels(given, known, subject=str(data), compared_with=how)
        if out is not None:
            _write({"leave_out": suspects, "data": str(data), "technique": report.technique}, out)
        return report

    _end(examine, "labels", data, as_json=as_json)


@forensics.command()
@_file("text")
@click.option("--canaries", required=True, type=click.Path(path_type=Path), metavar="FILE", help="One canary per line.")
@json_option
def privacy(text: Path, canaries: Path, *, as_json: bool) -> None:
    """Find planted canaries in samples or model outputs, one per line."""

    def examine() -> Report:
        listed = read_small(canaries, _CANARIES_BYTES_MAX).decode("utf-8", "replace").splitlines()
        return scan_canaries(text, listed)

    _end(examine, "privacy", text, as_json=as_json)


@forensics.command()
@_file("losses")
@json_option
def membership(losses: Path, *, as_json: bool) -> None:
    """Audit how well losses tell what was trained on: arrays `members` and `strangers`, one loss per sample."""

    def examine() -> Report:
        file = TensorFile(losses)
        return audit_membership(file.floats("members"), file.floats("strangers"), subject=str(losses))

    _end(examine, "membership", losses, as_json=as_json)


@forensics.command()
@_file("decisions")
@click.option("--above", default=0.1, show_default=True, type=click.FloatRange(0, 1), help="The largest difference.")
@json_option
def bias(decisions: Path, above: float, *, as_json: bool) -> None:
    """Measure demographic parity and equalised odds: arrays `truth` and `decided` of 0 and 1, and `groups`."""

    def examine() -> Report:
        file = TensorFile(decisions)
        arrays = file.read("truth"), file.read("decided"), file.read("groups")
        return examine_bias(*arrays, subject=str(decisions), difference_max=above)

    _end(examine, "bias", decisions, as_json=as_json)


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

"""`halon forensics …`: files that an investigator has become reports. Needs no daemon and no config.

Exit codes of every command: 0 clean, 1 a finding or evidence that can't be read, 2 usage.
"""

from pathlib import Path

import click

from engine.cli.examine import array_name, attempt, end, evidence, out_option, write_new
from engine.cli.forensics_data import DATA_COMMANDS
from engine.cli.output import say
from engine.cli.plotting import plot_option
from engine.cli.setup import ToldGroup, UsageFailure, json_option
from engine.forensics.examinations import activation_files, batch_files, gradient_file
from engine.forensics.figures import gradient_lines
from engine.forensics.integrity import examine_integrity
from engine.forensics.manifest import build_manifest, examine_folder, read_manifest
from engine.forensics.pickles import examine_pickle
from engine.forensics.signature import examine_signature
from engine.forensics.tensors import TensorFile
from engine.forensics.validation import Bounds, validate_probe
from engine.forensics.weights import compare_weights


@click.group(cls=ToldGroup)
def forensics() -> None:
    """Examine models and data: files become findings, without the daemon.

    Nothing that is examined is executed or unpickled. Arrays come as .npz, .npy or .safetensors.

    Exit codes: 0 clean, 1 a finding, or evidence that can't be read, 2 usage.
    """


@forensics.command()
@evidence("model")
@click.option("--sha256", "expected", required=True, metavar="HEX", help="The hash that the file should have.")
@json_option
def integrity(model: Path, expected: str, *, as_json: bool) -> None:
    """Hold a model file against its SHA-256."""
    if len(expected.strip().removeprefix("sha256:")) != 64:
        raise UsageFailure("--sha256 takes 64 hex digits, as sha256sum prints them")
    end(lambda: examine_integrity(model, expected), "integrity", model, as_json=as_json)


@forensics.command()
@evidence("folder")
@click.option("--against", type=click.Path(path_type=Path), metavar="FILE", help="A manifest that was written earlier.")
@click.option("--root", default="", metavar="HEX", help="The Merkle root that --against must have; keep it elsewhere.")
@out_option("Write the manifest there; without it, to standard output.")
@json_option
def manifest(folder: Path, against: Path | None, root: str, out: Path | None, *, as_json: bool) -> None:
    """Write the manifest of a folder, or hold the folder against one: which shard is changed, added or missing."""
    if against is None:
        if root:
            raise UsageFailure("--root goes with --against")
        made = attempt(lambda: build_manifest(folder))
        write_new(made, out)
        if out is not None:
            say(f"{len(made.files)} files, Merkle root {made.root}")
        return
    end(lambda: examine_folder(folder, read_manifest(against), root=root), "manifest", folder, as_json=as_json)


@forensics.command()
@evidence("model")
@evidence("signature")
@click.option("--public-key", type=click.Path(path_type=Path), metavar="PEM", help="The signer's public key.")
@click.option(
    "--certificate",
    "certificates",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="A certificate of the chain that the signer must be of; repeatable.",
)
@json_option
def signature(
    model: Path, signature: Path, public_key: Path | None, certificates: tuple[Path, ...], *, as_json: bool
) -> None:
    """Hold a model, a file or its folder, against its OpenSSF signing bundle, offline. Needs the extra `signing`."""
    if (public_key is None) == (not certificates):
        raise UsageFailure("give --public-key or --certificate")
    end(
        lambda: examine_signature(model, signature, public_key=public_key, certificates=certificates),
        "signature",
        model,
        as_json=as_json,
    )


@forensics.command(name="pickle")
@evidence("file")
@click.option("--allow", multiple=True, metavar="MODULE.NAME", help="Allow this import too; may be repeated.")
@json_option
def pickle_command(file: Path, allow: tuple[str, ...], *, as_json: bool) -> None:
    """Say what unpickling a .pkl, .pt, .bin or .joblib file would import and call. It is never loaded."""
    end(lambda: examine_pickle(file, allow=allow), "pickle", file, as_json=as_json)


@forensics.command()
@evidence("before")
@evidence("after")
@array_name("--output", "Weights of the last layer; without it, the last matrix of the file.")
@plot_option
@json_option
def weights(before: Path, after: Path, output: str, *, plot: Path | None, as_json: bool) -> None:
    """Compare two checkpoints layer by layer: an honest fine-tune, or a backdoor, and towards which class."""
    end(
        lambda: compare_weights(TensorFile(before), TensorFile(after), output=output),
        "weights",
        after,
        as_json=as_json,
        plot=plot,
    )


@forensics.command()
@evidence("clean")
@evidence("suspect")
@plot_option
@json_option
def activations(clean: Path, suspect: Path, *, plot: Path | None, as_json: bool) -> None:
    """Compare activations of a clean and a suspect set: one array of (rows, units) per layer.

    An array `labels` in the suspect file also looks for classes that fall into two.
    """

    end(lambda: activation_files(clean, suspect), "activations", suspect, as_json=as_json, plot=plot)


@forensics.command()
@evidence("norms")
@plot_option
@json_option
def gradients(norms: Path, *, plot: Path | None, as_json: bool) -> None:
    """Find where gradients began to vanish, to explode or jumped: one array of norms over the steps per layer.

    An array `steps` numbers the steps.
    """

    end(
        lambda: gradient_file(norms),
        "gradients",
        norms,
        as_json=as_json,
        plot=plot,
        figure=lambda report: gradient_lines(norms, report),
    )


@forensics.command()
@evidence("reference")
@evidence("batch")
@click.option("--neighbours", "k", default=10, show_default=True, type=click.IntRange(1, 1000))
@plot_option
@json_option
def adversarial(reference: Path, batch: Path, k: int, *, plot: Path | None, as_json: bool) -> None:
    """Find adversarial inputs in a batch: `features` and what the model said as `labels`, against a known reference."""

    end(lambda: batch_files(reference, batch, k), "adversarial", batch, as_json=as_json, plot=plot)


@forensics.command()
@evidence("probe")
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
    end(lambda: validate_probe(TensorFile(probe), bounds), "validation", probe, as_json=as_json)


for _command in DATA_COMMANDS:
    forensics.add_command(_command)

"""Paths of evidence to reports, one function a technique: what `halon forensics` and the `forensics.*` steps both call.

Each opens files that nobody trusts, takes the arrays that its technique needs by their usual names, and raises
EvidenceError where they are not there.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.forensics.activations import compare_activations
from engine.forensics.adversarial import examine_batch
from engine.forensics.bias import DIFFERENCE_MAX, examine_bias
from engine.forensics.files import read_small
from engine.forensics.gradients import examine_gradients
from engine.forensics.labels import examine_labels, knn_probabilities
from engine.forensics.membership import audit_membership
from engine.forensics.poisoning import examine_poison
from engine.forensics.privacy import scan_privacy
from engine.forensics.report import EvidenceError, Report
from engine.forensics.samples import (
    LeaveOut,
    compare_samples,
    leave_out,
    list_samples,
    read_features,
    read_labels,
    read_sample_list,
)
from engine.forensics.tensors import TensorFile
from engine.personal import Kind

NEIGHBOURS = 10
_CANARIES_BYTES_MAX = 16 << 20


def activation_files(clean: Path, suspect: Path) -> Report:
    """Activations of a clean and a suspect set, one array of (rows, units) a layer; `labels` in the suspect file."""
    first, second = TensorFile(clean), TensorFile(suspect)
    return compare_activations(
        {each: first.floats(each) for each in first.infos if each != "labels"},
        {each: second.floats(each) for each in second.infos if each != "labels"},
        subject=str(suspect),
        compared_with=str(clean),
        suspect_labels=read_labels(second) if "labels" in second else None,
    )


def gradient_file(norms: Path) -> Report:
    """Gradient norms over the steps, one array a layer; `steps` numbers the steps."""
    file = TensorFile(norms)
    layers = [each for each in file.infos if each != "steps"]
    columns = [file.floats(each).ravel() for each in layers]
    if not columns or len({len(each) for each in columns}) != 1:
        raise EvidenceError(f"{norms}: every layer needs one norm per step, and all of them the same number")
    steps = [int(each) for each in file.floats("steps").ravel()] if "steps" in file else []
    return examine_gradients(np.stack(columns, axis=1), layers, subject=str(norms), steps=steps)


def batch_files(reference: Path, batch: Path, k: int = NEIGHBOURS) -> Report:
    """`features` and what the model said as `labels` of a batch, against those of a known reference."""
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


def sample_files(data: Path, against: Path) -> Report:
    """A training set against the list of its samples that was written earlier."""
    return compare_samples(
        read_sample_list(against), list_samples(TensorFile(data)), subject=str(data), compared_with=str(against)
    )


def poison_file(data: Path, features: str = "", labels: str = "") -> tuple[Report, LeaveOut]:
    """A training set to its poisoned samples, and what to leave out when training anew."""
    file = TensorFile(data)
    report, suspects = examine_poison(read_features(file, features), read_labels(file, labels), subject=str(data))
    return report, leave_out(file, suspects, report)


def label_file(data: Path, features: str = "", labels: str = "", probabilities: str = "") -> tuple[Report, LeaveOut]:
    """A training set to its wrong labels, and what to leave out; without `probabilities`, by nearest neighbours."""
    file = TensorFile(data)
    given = read_labels(file, labels)
    known = file.floats(probabilities) if probabilities else knn_probabilities(read_features(file, features), given)
    how = f"probabilities `{probabilities}`" if probabilities else "the nearest neighbours of each sample"
    report, suspects = examine_labels(given, known, subject=str(data), compared_with=how)
    return report, leave_out(file, suspects, report)


def privacy_file(text: Path, canaries: Path | None = None, kinds: Sequence[Kind] = ()) -> Report:
    """Samples or outputs, one a line, to the canaries (one a line of their file) and the personal data in them."""
    listed: list[str] = []
    if canaries is not None:
        listed = read_small(canaries, _CANARIES_BYTES_MAX).decode("utf-8", "replace").splitlines()
    return scan_privacy(text, listed, kinds)


def membership_file(losses: Path) -> Report:
    """Arrays `members` and `strangers`, one loss a sample."""
    file = TensorFile(losses)
    return audit_membership(file.floats("members"), file.floats("strangers"), subject=str(losses))


def bias_file(decisions: Path, difference_max: float = DIFFERENCE_MAX) -> Report:
    """Arrays `truth` and `decided` of 0 and 1, and `groups`."""
    file = TensorFile(decisions)
    arrays = file.read("truth"), file.read("decided"), file.read("groups")
    return examine_bias(*arrays, subject=str(decisions), difference_max=difference_max)

"""A training set becomes a list of sample digests, and two of them a report of what became of the samples.

A sample is known by its id where the set has an array `ids`, else by its content without the label, so that a set that
was only reordered is the same set, and a flipped label is told from a new sample.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from engine.forensics.files import read_small
from engine.forensics.neighbours import Ints
from engine.forensics.report import EvidenceError, Mark, Report, make_report
from engine.forensics.tensors import Array, Floats, TensorFile
from engine.model import Json, Struct

FORMAT = "halon-samples-1"
_SAMPLES_MAX = 10_000_000
_LIST_BYTES_MAX = 1 << 30
_FEATURES = ("features", "images", "inputs", "x", "X")
_LABELS = ("labels", "y", "targets")


class SampleList(Struct, frozen=True):
    """One entry per sample, in order: id (empty without), SHA-256 of the content, and of the label."""

    samples: tuple[tuple[str, str, str], ...]
    format: str = FORMAT


class LeaveOut(Struct, frozen=True):
    """The samples that a training job should leave out: their places in the set, and their ids where it has `ids`."""

    leave_out: tuple[int, ...]
    ids: tuple[str, ...]
    data: str
    technique: str
    format: str = "halon-leave-out-1"


def leave_out(file: TensorFile, places: Sequence[int], report: Report) -> LeaveOut:
    """What a technique found in a set, as a training job reads it. Raises EvidenceError."""
    ids: tuple[str, ...] = ()
    if "ids" in file:
        named = file.read("ids")
        if len(named) <= max(places, default=-1):
            raise EvidenceError(f"{file.path}: `ids` are fewer than the samples")
        ids = tuple(str(named[place]) for place in places)
    return LeaveOut(leave_out=tuple(places), ids=ids, data=str(file.path), technique=report.technique)


def find_array(file: TensorFile, name: str, usual: tuple[str, ...] = ()) -> str:
    """The array of that name, or the first of the usual ones. Raises EvidenceError that lists what there is."""
    found = name if name in file else next((each for each in usual if not name and each in file), "")
    if not found:
        raise EvidenceError(
            f"{file.path} has no array `{name or usual[0]}`; it has {', '.join(list(file.infos)[:20]) or 'none'}"
        )
    return found


def read_features(file: TensorFile, name: str = "") -> Floats:
    """The samples, one row each; without a name the first of `features`, `images`, `inputs`, `x`."""
    return file.floats(find_array(file, name, _FEATURES))


def read_labels(file: TensorFile, name: str = "") -> Ints:
    """The labels as integers; without a name the first of `labels`, `y`, `targets`."""
    array = file.read(find_array(file, name, _LABELS))
    if array.dtype.kind not in "biu" or array.ndim != 1:
        raise EvidenceError(
            f"{file.path}: labels are a list of integers, not {array.dtype} of shape {list(array.shape)}"
        )
    return array.astype(np.int64)


def list_samples(file: TensorFile, features: str = "", labels: str = "") -> SampleList:
    """The digests of a set. Raises EvidenceError."""
    rows = file.read(find_array(file, features, _FEATURES))
    marks = file.read(find_array(file, labels, _LABELS))
    ids = file.read("ids") if "ids" in file else None
    if (
        rows.ndim < 1
        or len(rows) > _SAMPLES_MAX
        or len(rows) != len(marks)
        or (ids is not None and len(ids) != len(rows))
    ):
        raise EvidenceError(f"{file.path}: features, labels and ids are not of one length up to {_SAMPLES_MAX:,}")
    kind = f"{rows.dtype.str}{list(rows.shape[1:])}".encode()
    return SampleList(
        samples=tuple(
            (
                "" if ids is None else str(ids[place]),
                _digest(kind, rows[place]),
                _digest(b"label", np.asarray(marks[place])),
            )
            for place in range(len(rows))
        )
    )


def read_sample_list(path: Path) -> SampleList:
    """What `list_samples` found earlier, from its JSON. Raises EvidenceError."""
    try:
        found = msgspec.json.decode(read_small(path, _LIST_BYTES_MAX), type=SampleList)
    except msgspec.DecodeError as error:
        raise EvidenceError(f"{path} is no list of samples: {error}") from error
    if found.format != FORMAT:
        raise EvidenceError(f"{path} is of format `{found.format[:40]}`, not {FORMAT}")
    return found


def compare_samples(before: SampleList, now: SampleList, *, subject: str, compared_with: str) -> Report:
    """What became of the samples. Duplicates that were there before are counted, but are no finding."""
    old, new = _by_name(before), _by_name(now)
    marks: list[Mark] = []
    counts = dict.fromkeys(("changed", "relabelled", "added", "missing", "duplicated"), 0)

    def mark(what: str, name: str, why: str) -> None:
        counts[what] += 1
        marks.append(Mark(where=f"sample {name}", why=f"{what}{why}"))

    for name, versions in new.items():
        known = old.get(name)
        if known is None:
            mark("added", name, f" at place {versions[0][2]}")
        elif (versions[0][0], versions[0][1]) not in {(content, label) for content, label, _ in known}:
            same = versions[0][0] in {content for content, _, _ in known}
            mark("relabelled" if same else "changed", name, f" at place {versions[0][2]}")
        if len(versions) > len(known or [0]):
            mark("duplicated", name, f": {len(versions)} times, at places {', '.join(str(v[2]) for v in versions[:5])}")
    for name in old:
        if name not in new:
            mark("missing", name, f", was at place {old[name][0][2]}")
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    details: dict[str, Json] = {**counts, "samples": len(now.samples), "samples_before": len(before.samples)}
    details["duplicates_within"] = sum(each - 1 for each in Counter(row[1] for row in now.samples).values())
    return make_report(
        "samples",
        subject,
        found=bool(marks),
        summary=told or f"all {len(now.samples)} samples are as before",
        score=float(len(marks)),
        threshold=0.0,
        compared_with=compared_with,
        marks=marks,
        details=details,
    )


def _by_name(listed: SampleList) -> dict[str, list[tuple[str, str, int]]]:
    """(content, label, place) of the samples of each name: their id, or the beginning of their content's digest."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for place, (name, content, label) in enumerate(listed.samples):
        found.setdefault(name or content, []).append((content, label, place))
    return found


def _digest(kind: bytes, row: Array) -> str:
    return hashlib.sha256(kind + b"\0" + np.ascontiguousarray(row).tobytes()).hexdigest()

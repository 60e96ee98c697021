"""The file that a detection method names, read beside its rule file; `engine.rulefile.signals` calls this.

What is wrong with the file is told at the place that names it, since that is where it is put right or renamed.
"""

from pathlib import Path
from typing import Any

import msgspec

from engine.detectors.contract import Detector
from engine.detectors.sample import Sample, parse_sample
from engine.diagnostics import Diagnostic, error, quoted
from engine.tomlfile import KeyPath, TomlFile, read_bytes


def read_sample(
    file: TomlFile, path: KeyPath, detector: type[Detector[Any]], params: msgspec.Struct
) -> Sample | Diagnostic | None:
    """The sample in the file that `params` name, relative to the folder of the rule file; None where they name none."""
    key = detector.file_key
    name = None if key is None else getattr(params, key)
    if key is None or name is None:
        return None
    place = (*path, key)
    content = read_bytes(Path(file.shown).parent / name, name)
    if isinstance(content, Diagnostic):
        help_ = "the path is relative to the folder of this rule file; a regular file of at most 4 MiB"
        return error("H035", content.title, file.value(place), label="can't be used", help=help_)
    try:
        sample = parse_sample(name, content, getattr(params, "column", None))
    except ValueError as fault:
        return _unfit(file, place, f"{quoted(name)}: {fault}")
    if detector.file_numbers and sample.texts:
        return _unfit(file, place, f"{quoted(name)}: it holds texts, and `{detector.method}` compares numbers")
    return sample


def _unfit(file: TomlFile, place: KeyPath, title: str) -> Diagnostic:
    help_ = "a JSON list, one CSV column or a one-dimensional .npy array of 20 to 100,000 values"
    return error("H035", title, file.value(place), label="can't be used", help=help_)

"""A model file and the hash it should have become a report. For a folder of shards see `engine.forensics.manifest`."""

import hmac
import re
from collections.abc import Callable
from pathlib import Path

from engine.forensics.files import LIMITS, Limits, never, sha256_file
from engine.forensics.report import EvidenceError, Mark, Report, make_report

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class SecurityAlert(Exception):  # noqa: N818  # the name that incident responders know from their handbook
    """A model is not the one it is said to be."""


def verify_model_integrity(model_path: Path, expected_hash: str) -> bool:
    """True where the file's SHA-256 is `expected_hash` (64 hex digits, in any case); never False.

    It is read in pieces, so that a file may be larger than memory, and compared in constant time. Raises SecurityAlert
    where the hash differs, EvidenceError where the file can't be read, ValueError where the expected hash is none.
    """
    wanted = _normal(expected_hash)
    actual, _ = sha256_file(model_path)
    if not hmac.compare_digest(actual, wanted):
        raise SecurityAlert(f"Model integrity compromised: {model_path} has SHA-256 {actual}, expected {wanted}")
    return True


def examine_integrity(
    path: Path, expected_hash: str, limits: Limits = LIMITS, stopped: Callable[[], bool] = never
) -> Report:
    """The same as a report. Raises EvidenceError."""
    try:
        wanted = _normal(expected_hash)
    except ValueError as error:
        raise EvidenceError(str(error)) from error
    actual, size = sha256_file(path, limits, stopped)
    same = hmac.compare_digest(actual, wanted)
    return make_report(
        "integrity",
        str(path),
        found=not same,
        summary=f"{path.name} is the file that was expected" if same else f"{path.name} is another file",
        compared_with=f"SHA-256 {wanted}",
        marks=[] if same else [Mark(where=str(path), why=f"its SHA-256 is {actual}")],
        details={"sha256": actual, "bytes": size},
    )


def _normal(text: str) -> str:
    wanted = text.strip().lower().removeprefix("sha256:")
    if not _SHA256.fullmatch(wanted):
        raise ValueError(f"`{text[:80]}` is no SHA-256: 64 hex digits")
    return wanted

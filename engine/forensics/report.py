"""What a forensic technique says: a `Report` as one JSON object. Every module of this package returns one.

`halon forensics` prints them and the `forensics.*` actions keep them as evidence.
"""

import math
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from engine.model import Json, Struct

MARKS_MAX = 1_000
"""So many marks are written out; `marked` counts all."""


class Judgement(StrEnum):
    """What became of an examination. Only `clean` is good news: what could not be read was not found clean."""

    CLEAN = "clean"
    FINDING = "finding"
    UNREADABLE = "unreadable"


class Mark(Struct, frozen=True):
    """One thing pointed at: a tensor, a shard, a sample, an opcode; its score if it has one, and why."""

    where: str
    why: str
    score: float | None = None


class Report(Struct, frozen=True):
    """What was found: the judgement, the score that decided with its threshold, and what it was compared with.

    `marks` points at the places, worst first, at most `MARKS_MAX`; `marked` counts them all. `details` are the numbers
    behind it.
    """

    technique: str
    subject: str
    judgement: Judgement
    summary: str
    score: float | None = None
    threshold: float | None = None
    compared_with: str = ""
    marks: tuple[Mark, ...] = ()
    marked: int = 0
    details: dict[str, Json] = {}


class EvidenceError(Exception):
    """The evidence can't be examined: it is truncated, hostile, beyond a limit, or of no known form. Says which."""


def make_report(
    technique: str,
    subject: str,
    *,
    found: bool,
    summary: str,
    score: float | None = None,
    threshold: float | None = None,
    compared_with: str = "",
    marks: Iterable[Mark] = (),
    details: dict[str, Json] | None = None,
) -> Report:
    """A report with bounded marks; numbers that JSON can't write become null."""
    every = list(marks)
    return Report(
        technique=technique,
        subject=subject,
        judgement=Judgement.FINDING if found else Judgement.CLEAN,
        summary=summary,
        score=finite(score),
        threshold=threshold,
        compared_with=compared_with,
        marks=tuple(msgspec.structs.replace(each, score=finite(each.score)) for each in every[:MARKS_MAX]),
        marked=len(every),
        details=details or {},
    )


def unreadable(technique: str, subject: str, error: EvidenceError) -> Report:
    """The report of what could not be examined."""
    return Report(technique=technique, subject=subject, judgement=Judgement.UNREADABLE, summary=str(error))


def finite(value: float | None) -> float | None:
    """A number for JSON: None for what is missing, NaN or infinite; rounded to six significant digits."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")

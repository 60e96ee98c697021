"""Samples or model outputs, one per line, become a report of the canaries in them.

A canary is a text that was planted in private data so that nothing else contains it: its appearance elsewhere proves
that data got there (Carlini et al., "The Secret Sharer", 2019). The file is read line by line, and lines longer than
the limit are searched in overlapping pieces, so that memory stays bounded.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from engine.forensics.files import LIMITS, Limits, open_evidence
from engine.forensics.report import EvidenceError, Mark, Report, make_report

CANARY_CHARACTERS_MIN = 8
"""A shorter text may stand anywhere by chance."""
_CANARIES_MAX = 10_000
_CANARY_CHARACTERS_MAX = 4_096
_PIECE_BYTES = 1 << 20


def scan_canaries(path: Path, canaries: Sequence[str], *, limits: Limits = LIMITS) -> Report:
    """Which canaries a text or JSON-lines file holds, and in which lines. Letter case and JSON escapes don't hide them.

    The report shows the number of a canary, never its text. Raises EvidenceError.
    """
    wanted = _prepare(canaries)
    longest = max(len(each.encode()) for each in wanted) * 6  # an escaped character takes six bytes
    marks: list[Mark] = []
    line, kept = 1, b""
    with open_evidence(path, limits) as (file, _):
        while piece := file.readline(_PIECE_BYTES):
            text = _plain(kept + piece)
            for number, canary in enumerate(wanted):
                if canary in text and (
                    not marks or marks[-1].where != _where(line) or str(number + 1) not in marks[-1].why
                ):
                    marks.append(Mark(where=_where(line), why=f"canary {number + 1}"))
            ended = piece.endswith(b"\n")
            line, kept = line + ended, b"" if ended else piece[-longest:]
    found = {each.why for each in marks}
    return make_report(
        "privacy",
        str(path),
        found=bool(marks),
        summary=f"{len(found)} of {len(wanted)} canaries are in it"
        if marks
        else f"none of {len(wanted)} canaries is in it",
        score=float(len(found)),
        threshold=0.0,
        compared_with=f"{len(wanted)} canaries",
        marks=marks,
        details={"lines": line - 1 + bool(kept)},
    )


def _where(line: int) -> str:
    return f"line {line}"


def _prepare(canaries: Sequence[str]) -> list[str]:
    wanted = [_fold(each.strip()) for each in canaries if each.strip()]
    if not wanted or len(wanted) > _CANARIES_MAX:
        raise EvidenceError(f"give 1 to {_CANARIES_MAX:,} canaries, one per line")
    odd = [
        place + 1
        for place, each in enumerate(wanted)
        if not CANARY_CHARACTERS_MIN <= len(each) <= _CANARY_CHARACTERS_MAX
    ]
    if odd:
        raise EvidenceError(
            f"canary {odd[0]} must have {CANARY_CHARACTERS_MIN} to {_CANARY_CHARACTERS_MAX} characters to mean anything"
        )
    return wanted


def _plain(raw: bytes) -> str:
    """A piece of a line with JSON's escapes of characters read, whatever else it is."""
    text = raw.decode("utf-8", "replace")
    if "\\" in text:
        parts = text.split("\\u")
        rest = [_unescape(each) for each in parts[1:]]
        text = (parts[0] + "".join(rest)).replace('\\"', '"').replace("\\/", "/")
    return _fold(text)


def _unescape(part: str) -> str:
    try:
        return chr(int(part[:4], 16)) + part[4:] if len(part) >= 4 else part
    except ValueError:
        return part


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()

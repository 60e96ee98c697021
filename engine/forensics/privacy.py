"""Samples or model outputs, one per line, become a report of the canaries, personal data and secrets in them.

A canary is a text that was planted in private data so that nothing else contains it: its appearance elsewhere proves
that data got there (Carlini et al., "The Secret Sharer", 2019). Personal data and secrets are found by
`engine.personal`. The file is read line by line, and lines longer than the limit are searched in overlapping pieces,
so that memory stays bounded.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.forensics.files import LIMITS, Limits, open_evidence
from engine.forensics.report import EvidenceError, Mark, Report, make_report
from engine.model import Json
from engine.personal import Kind, find_personal

CANARY_CHARACTERS_MIN = 8
"""A shorter text may stand anywhere by chance."""
_CANARIES_MAX = 10_000
_CANARY_CHARACTERS_MAX = 4_096
_PIECE_BYTES = 1 << 20
_OVERLAP_BYTES = 1_024
_MARKS_KEPT_MAX = 100_000


def scan_privacy(
    path: Path, canaries: Sequence[str] = (), kinds: Sequence[Kind] = (), *, limits: Limits = LIMITS
) -> Report:
    """Which canaries and which kinds of personal data a text or JSON-lines file holds, and in which lines.

    Letter case and JSON escapes don't hide a canary. The report shows the number of a canary and the count of a kind,
    never the text itself. In a line of over 1 MiB, what lies where two pieces overlap may be counted twice. Raises
    EvidenceError.
    """
    wanted = _prepare(canaries) if canaries or not kinds else []
    overlap = max(
        [_OVERLAP_BYTES, *(len(each.encode()) * 6 for each in wanted)]
    )  # an escaped character takes six bytes
    found: Counter[str] = Counter()
    marks: list[Mark] = []
    lines = 0
    for line, text in _pieces(path, overlap, limits):
        lines = line
        seen = _canaries_in(text, wanted) + _personal_in(text, kinds)
        if not seen:
            continue
        found.update(dict(seen))
        why = ", ".join(name if name.startswith("canary") else f"{count} {name}" for name, count in seen)
        mark = Mark(where=f"line {line}", why=why)
        if len(marks) < _MARKS_KEPT_MAX and (not marks or marks[-1] != mark):
            marks.append(mark)
    return make_report(
        "privacy",
        str(path),
        found=bool(marks),
        summary=_summary(found, len(wanted), kinds),
        score=float(len(marks)),
        threshold=0.0,
        compared_with=_compared(len(wanted), kinds),
        marks=marks,
        details={"lines": lines, **_counts(found)},
    )


def _pieces(path: Path, overlap: int, limits: Limits) -> Iterator[tuple[int, str]]:
    """(number, text) of each line, or of each overlapping piece of a long one; JSON's escapes are read."""
    line, kept = 1, b""
    with open_evidence(path, limits) as (file, _):
        while piece := file.readline(_PIECE_BYTES):
            yield line, _unescaped(kept + piece)
            ended = piece.endswith(b"\n")
            line, kept = line + ended, b"" if ended else piece[-overlap:]


def _canaries_in(text: str, wanted: Sequence[str]) -> list[tuple[str, int]]:
    if not wanted:
        return []
    folded = _fold(text)
    return [(f"canary {number}", 1) for number, canary in enumerate(wanted, 1) if canary in folded]


def _personal_in(text: str, kinds: Sequence[Kind]) -> list[tuple[str, int]]:
    counts = [(str(kind), len(set(find_personal(text, kind)))) for kind in kinds]
    return [(kind, count) for kind, count in counts if count]


def _summary(found: Counter[str], canaries: int, kinds: Sequence[Kind]) -> str:
    said = []
    if canaries:
        there = sum(name.startswith("canary") for name in found)
        said.append(f"{there or 'none'} of {canaries} canaries {'are' if there > 1 else 'is'} in it")
    if kinds:
        told = ", ".join(f"{found[kind]} {kind}" for kind in kinds if found[kind])
        said.append(f"it holds {told}" if told else f"it holds no {', '.join(kinds)}")
    return "; ".join(said)


def _compared(canaries: int, kinds: Sequence[Kind]) -> str:
    return "; ".join([*([f"{canaries} canaries"] if canaries else []), *([", ".join(kinds)] if kinds else [])])


def _counts(found: Counter[str]) -> dict[str, Json]:
    return {name.replace(" ", "_"): count for name, count in found.most_common(100)}


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


def _unescaped(raw: bytes) -> str:
    """A piece of a line with JSON's escapes of characters read, whatever else it is."""
    text = raw.decode("utf-8", "replace")
    if "\\" in text:
        parts = text.split("\\u")
        rest = [_unescape(each) for each in parts[1:]]
        text = (parts[0] + "".join(rest)).replace('\\"', '"').replace("\\/", "/")
    return text


def _unescape(part: str) -> str:
    try:
        return chr(int(part[:4], 16)) + part[4:] if len(part) >= 4 else part
    except ValueError:
        return part


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()

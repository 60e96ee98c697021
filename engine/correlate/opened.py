"""An open incident and its rows: one of itself, and one for each full part of its evidence, written once.

Evidence only grows while an incident is open, and is most of what there is to write of it: to write all of it anew
with each signal would cost more than all else that a signal brings about.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from engine.correlate import match
from engine.model import Incident, IncidentId, Key, Mode, PlaybookId, Signal
from engine.statechange import Space, StateChange

INCIDENT_OWNER = "incident:"
"""Owner of an open incident's row, before its type: no rule id has a colon."""
EVIDENCE_OWNER = "evidence:"
"""Owner of the parts of evidence; their key names the incident and the part."""
PART_LEN = 10
"""Signals of a part: the last signals, too few for one, stand in the incident's own row."""

_encoder = msgspec.json.Encoder()
_PART = msgspec.json.Decoder(tuple[Signal, ...])


class Open(msgspec.Struct):
    """An open incident, the playbooks decided for it (and how), and how many steps of each phase that made.

    One that was closed has `reopen_until_us`: a rule that fires up to then opens it again.
    """

    incident: Incident
    decided: dict[PlaybookId, Mode] = {}
    steps: tuple[int, int, int] = (0, 0, 0)
    reopen_until_us: int | None = None


class OpenRow(Open):
    """The same as its row holds it: of the evidence what comes after that many parts."""

    parts: int = 0


_ROW = msgspec.json.Decoder(OpenRow)


def rows(opened: Open, written: int) -> tuple[list[StateChange], int]:
    """The rows that changed, where so many parts of the evidence are written already; and how many are then."""
    incident = opened.incident
    owner, signals = INCIDENT_OWNER + incident.incident, incident.signals
    parts = len(signals) // PART_LEN
    if not parts:
        return [StateChange(Space.MATCHES, owner, incident.key, "", _encoder.encode(opened), match.FORMAT)], 0
    last = msgspec.structs.replace(incident, signals=signals[parts * PART_LEN :])
    row = OpenRow(last, opened.decided, opened.steps, opened.reopen_until_us, parts)
    changes = [StateChange(Space.MATCHES, owner, incident.key, "", _encoder.encode(row), match.FORMAT)]
    for part in range(written, parts):
        body = _encoder.encode(signals[part * PART_LEN : (part + 1) * PART_LEN])
        changes.append(StateChange(Space.MATCHES, EVIDENCE_OWNER, part_key(incident.id, part), "", body, match.FORMAT))
    return changes, parts


def part_key(incident: IncidentId, part: int) -> Key:
    """Under which key a part of an incident's evidence stands."""
    return (("incident", incident), ("part", str(part)))


def read_row(blob: bytes) -> OpenRow:
    """Raises msgspec.DecodeError."""
    return _ROW.decode(blob)


def read_part(blob: bytes) -> Sequence[Signal]:
    """Raises msgspec.DecodeError."""
    return _PART.decode(blob)


class Gathering:
    """Rows of incidents and of their evidence, in any order, back to incidents."""

    def __init__(self) -> None:
        self._rows: list[OpenRow] = []
        self._parts: dict[str, dict[int, Sequence[Signal]]] = defaultdict(dict)

    def take(self, row: StateChange) -> None:
        """One row of either owner. Raises msgspec.DecodeError."""
        blob = row.state or b""
        if row.owner == EVIDENCE_OWNER:
            key = dict(row.key)
            try:
                incident, part = key["incident"], int(key["part"])
            except (KeyError, ValueError) as error:
                raise msgspec.DecodeError(f"no key of a part: {error}") from None
            self._parts[incident][part] = read_part(blob)
        else:
            self._rows.append(read_row(blob))

    def incidents(self) -> Iterator[tuple[Open, int, int]]:
        """Each incident, how many parts of its evidence are there, and how many are missing; with these all strays."""
        for row in self._rows:
            found = self._parts[row.incident.id]
            there = [part for part in range(row.parts) if part in found]
            signals = [signal for part in there for signal in found[part]]
            if len(there) == row.parts:
                for part in there:
                    del found[part]  # what stands as it should is no stray
            incident = msgspec.structs.replace(row.incident, signals=(*signals, *row.incident.signals))
            opened = Open(incident, row.decided, row.steps, row.reopen_until_us)
            yield opened, len(there), row.parts - len(there)

    def strays(self) -> Iterator[Key]:
        """After `incidents`: parts that belong to none of them, and are to go."""
        for incident, found in self._parts.items():
            for part in found:
                yield part_key(IncidentId(incident), part)

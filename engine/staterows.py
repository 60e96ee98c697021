"""Rows of the core's state to what in them can't be opened under these rules; `halon state check` asks.

The daemon opens a row when its key is touched, and begins it anew with a fault where that fails. This finds it before.
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from engine.correlate.match import FORMAT as MATCH_FORMAT
from engine.correlate.match import MatchState
from engine.correlate.opened import EVIDENCE_OWNER, INCIDENT_OWNER, read_part, read_row
from engine.detect.keystate import KeyState, version
from engine.model import RuleId, SignalId, Struct, format_key
from engine.rulefile.rules import RuleSet
from engine.statechange import Space, StateChange


class StateReport(Struct, frozen=True):
    """How many rows there are, which begin anew at the next start, and what can't be read; a sentence each."""

    rows: int
    anew: tuple[str, ...]
    unreadable: tuple[str, ...]


def report(rows: Iterable[StateChange], rules: RuleSet) -> StateReport:
    """Open every row as the daemon would."""
    count = 0
    anew: Counter[tuple[str, str]] = Counter()
    unreadable: dict[str, tuple[int, str]] = {}
    for row in rows:
        count += 1
        why = _unfit(row, rules)
        if why:
            anew[row.owner, why] += 1
            continue
        try:
            _open(row, rules)
        except msgspec.DecodeError as error:
            number, first = unreadable.get(row.owner, (0, f"{format_key(row.key)}: {error}"))
            unreadable[row.owner] = (number + 1, first)
    return StateReport(
        rows=count,
        anew=tuple(f"{number:,} of {owner}: {why}" for (owner, why), number in anew.items()),
        unreadable=tuple(
            f"{number:,} of {owner}, the first is {first}" for owner, (number, first) in unreadable.items()
        ),
    )


def _unfit(row: StateChange, rules: RuleSet) -> str:
    """Why a row is thrown away at the next start; empty if it is not."""
    if row.space is Space.MATCHES:
        if row.version != MATCH_FORMAT:
            return f"of an unknown version ({row.version})"
        if row.owner.startswith((INCIDENT_OWNER, EVIDENCE_OWNER)):
            return ""
        rule = rules.rules.get(RuleId(row.owner))
        return "" if rule is not None and rule.digest == row.digest else "of other rules"
    signal = rules.signals.get(SignalId(row.owner))
    if signal is None or signal.digest != row.digest:
        return "of other rules"
    return "" if row.version == version(signal) else f"of an unknown version ({row.version})"


def _open(row: StateChange, rules: RuleSet) -> None:
    blob = row.state or b""
    if row.space is Space.WINDOWS:
        KeyState(rules.signals[SignalId(row.owner)], 0).load(blob)
    elif row.owner.startswith(INCIDENT_OWNER):
        read_row(blob)
    elif row.owner == EVIDENCE_OWNER:
        read_part(blob)
    else:
        MatchState(RuleId(row.owner), row.key).load(blob)

"""The database to what each rule has come to: how often it fired, how often wrongly, how soon it contained, when last.

`halon rules stats` prints it. A rule that was changed keeps its figures: they go by its name.
"""

import statistics
from datetime import datetime

from engine.clock import to_datetime
from engine.model import RuleId, Struct
from engine.store.connection import Connection

ROWS_MAX = 100_000


class RuleStats(Struct, frozen=True):
    """One rule. `contained_s` is the median from its event to the last verified contain step of an incident."""

    rule: RuleId
    fired: int = 0
    open: int = 0
    contained: int = 0
    false_positives: int = 0
    contained_s: float | None = None
    last_fired: datetime | None = None


def rule_stats(connection: Connection) -> tuple[RuleStats, ...]:
    """Of every rule that has opened an incident which is still kept, the most fired first."""
    rows = connection.execute(
        "SELECT json_extract(body, '$.rule'), count(*), sum(state <> 'closed'), sum(contained_us IS NOT NULL), "
        "sum(resolution LIKE 'false%'), max(opened_us) FROM incidents GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    took = _took(connection)
    return tuple(
        RuleStats(
            rule=RuleId(rule),
            fired=fired,
            open=still_open,
            contained=contained,
            false_positives=wrong,
            contained_s=statistics.median(took[rule]) if rule in took else None,
            last_fired=to_datetime(last_us),
        )
        for rule, fired, still_open, contained, wrong, last_us in rows
    )


def _took(connection: Connection) -> dict[str, list[float]]:
    """By rule, of the newest contained incidents, the seconds from event to the last verified contain step."""
    found: dict[str, list[float]] = {}
    rows = connection.execute(
        "SELECT json_extract(incidents.body, '$.rule'), max(intents.verified_us - intents.event_us) / 1e6 FROM intents "
        "JOIN incidents ON incidents.id = intents.incident WHERE intents.phase = 'contain' "
        "AND intents.verified_us IS NOT NULL GROUP BY intents.incident ORDER BY incidents.opened_us DESC LIMIT ?",
        (ROWS_MAX,),
    )
    for rule, seconds in rows:
        found.setdefault(rule, []).append(seconds)
    return found

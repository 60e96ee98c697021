"""An incident that really came about: rules and events through the core into a real database, with its recording."""

import asyncio

from engine.clock import SECOND_US, parse_time_us
from engine.core import Core
from engine.model import Event, IncidentState, Phase
from engine.operate import reviews
from engine.store import deadlines, incidents, intents, notices
from engine.store.connection import open_readonly
from engine.store.database import Store
from engine.store.notices import Notice, NoticeState
from engine.store.pinned import Pinned, keep, pack
from tests.support.rules import rules_of

BEGAN_US = parse_time_us("2026-03-01T12:00:00Z")
RULES = """
[signal.slow]
on     = "inference.request"
where  = "event.data.latency_ms > 100"
by     = { model = "event.subject" }
value  = "event.data.latency_ms"
detect = { method = "mean", above = 500, within = "1m", min_events = 3 }

[signal.errors]
on     = "inference.request"
where  = "event.data.status >= 500"
by     = { model = "event.subject" }
detect = { method = "count", at_least = 3, within = "1m" }

[rule.sick-model]
incident = "performance-anomaly"
severity = "high"
by       = ["model"]
when     = { all = ["slow", "errors"], within = "5m" }
playbook = "look"
tags     = ["owasp:LLM10"]

[playbook.look]
contain     = [{ do = "haproxy.drain", backend = "models", server = "${event.subject}" }]
investigate = [{ do = "evidence.capture", paths = ["/var/log/model.log"] }]
"""


def request(second, *, latency_ms=40, status=200, subject="m-1", **data):
    """One request of a client, at so many seconds."""
    return Event(
        id=f"e-{second}-{subject}",
        source="gateway",
        type="inference.request",
        time_us=BEGAN_US + round(second * SECOND_US),
        subject=subject,
        data={"latency_ms": latency_ms, "status": status, **data},
    )


def sick():
    """A model that answers well for a minute, then slowly and with errors; a request carries a null and odd text."""
    well = [request(second) for second in range(60)]
    ill = [request(60 + second, latency_ms=900 + second, status=503, note=None) for second in range(4)]
    return [*well, *ill, request(64.5, latency_ms=950, prompt='say "hi" |\n<script>alert(1)</script>')]


def reviewed(tmp_path, *, events=None, rules=RULES, recorded=None, move=None):
    """(review, rule set, incident id) of the one incident that these events open.

    `recorded` are the events that the flight recorder kept (all); `move(connection, incident)` may do more to it.
    """
    events = sick() if events is None else events
    loaded = rules_of(rules)
    core = Core(loaded)
    steps = [core.event(each, each.time_us) for each in events]
    (opened,) = [each for step in steps for each in step.opened]

    def fill(connection):
        incidents.put(connection, opened, at_us=opened.opened_us)
        for step in steps:
            for each in step.intents:
                intents.put(connection, each, received_us=each.trigger_us + 500, matched_us=each.trigger_us + 900)
        kept = events if recorded is None else recorded
        if kept:
            pinned = Pinned(opened.id, opened.opened_us, BEGAN_US, opened.opened_us, tuple(kept))
            keep(connection, [pack(pinned)], kept_bytes_max=10**9)
        if move is not None:
            move(connection, opened)

    async def write():
        store = await Store.open(tmp_path / "halon.db")
        await store.write(fill)
        await store.close()

    asyncio.run(write())
    connection = open_readonly(tmp_path / "halon.db")
    try:
        return reviews.review(connection, opened.id), loaded, opened.id
    finally:
        connection.close()


def close(resolution, **more):
    """A `move` that closes it."""

    def move(connection, incident):
        incidents.move(
            connection, incident.id, IncidentState.CLOSED, at_us=incident.opened_us + 600 * SECOND_US, who="ann",
            resolution=resolution, **more,
        )  # fmt: skip

    return move


def miss(connection, incident):
    """A `move` that misses a deadline, and fails to tell anyone."""
    deadlines.start(connection, incident.id, Phase.CONTAIN, at_us=incident.opened_us, within_us=SECOND_US)
    deadlines.miss(connection, incident.id, Phase.CONTAIN, level=1, at_us=incident.opened_us + 2 * SECOND_US)
    notices.put(
        connection,
        Notice(
            id="n-1", incident=incident.id, channel="pager", title="contain missed", body="", level="failure",
            state=NoticeState.FAILED, made_us=incident.opened_us + 2 * SECOND_US, next_us=0, detail="401",
        ),
    )  # fmt: skip

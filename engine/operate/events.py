"""Turns the flight recorder, and what of it is pinned, into recorded events that `halon replay` takes: CloudEvents.

`engine.operate.control` serves it, `engine.cli.events` asks: by key, by type, by time, or around an incident. It runs
as a process of its own (`engine.store.apart`), as it reads up to all that the recorder holds.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine.clock import DURATION_MAX_US, parse_time_us
from engine.cloudevents import encode_event
from engine.model import Event, Incident, IncidentId, Struct
from engine.operate.shown import RecordedEvents
from engine.operate.views import BadQuery, limit
from engine.store import apart, incidents, recorder
from engine.store.connection import Connection
from engine.store.pinned import pinned_of

BEFORE_US = 300_000_000
AFTER_US = 60_000_000
NOTHING = b"null"
"""What is answered where there is no such incident."""


class Asked(Struct, frozen=True):
    """Which recorded events are asked for; `key` None: those of the incident's key, or all."""

    key: dict[str, str] | None = None
    around: str = ""
    before_us: Annotated[int, Meta(ge=0, le=DURATION_MAX_US)] = BEFORE_US
    after_us: Annotated[int, Meta(ge=0, le=DURATION_MAX_US)] = AFTER_US
    since_us: int | None = None
    until_us: int | None = None
    type: str = ""
    limit: int = 1_000


def asked(query: Mapping[str, str]) -> Asked:
    """The question of a query string. Raises BadQuery."""
    values: dict[str, Any] = {"around": query.get("around", ""), "type": query.get("type", "")}
    values["limit"] = limit(query.get("limit")) if "limit" in query else Asked().limit
    try:
        for name in ("since", "until"):
            if name in query:
                values[f"{name}_us"] = parse_time_us(query[name])
        for name in ("before_us", "after_us"):
            if name in query:
                values[name] = int(query[name])
        if "key" in query:
            values["key"] = msgspec.json.decode(query["key"], type=dict[str, str])
        return msgspec.convert(values, Asked)
    except (ValueError, msgspec.DecodeError) as error:
        raise BadQuery(f"the question makes no sense: {error}") from error


def find(connection: Connection, question: Asked) -> RecordedEvents | None:
    """The events, in the order of their times; None where there is no such incident.

    Past the limit those nearest to the incident's opening are given, or the newest, and the others counted.
    """
    incident: Incident | None = None
    from_us, until_us, around_us = question.since_us, question.until_us, None
    if question.around:
        incident = incidents.get(connection, IncidentId(question.around))
        if incident is None:
            return None
        around_us = incident.around_us
        from_us = max(around_us - question.before_us, from_us or 0)
        until_us = min(around_us + question.after_us + 1, until_us or 2**62)
    key = question.key if question.key is not None else dict(incident.key) if incident is not None else {}
    concerns = recorder.concerns(key.values())
    found: dict[tuple[str, str], Event] = {}
    for event in _everything(connection, incident, from_us, until_us, tuple(key.values())):
        if _of_type(event.type, question.type) and concerns(event):
            found[event.source, event.id] = event
    chosen = list(found.values())
    if len(chosen) > question.limit:
        chosen.sort(key=lambda each: -each.time_us if around_us is None else abs(each.time_us - around_us))
    chosen = sorted(chosen[: question.limit], key=lambda each: (each.time_us, each.source, each.id))
    return RecordedEvents(
        events=tuple(msgspec.Raw(encode_event(each)) for each in chosen), left_out=len(found) - len(chosen)
    )


def _everything(
    connection: Connection,
    incident: Incident | None,
    from_us: int | None,
    until_us: int | None,
    values: tuple[str, ...],
) -> Iterator[Event]:
    pinned = None if incident is None else pinned_of(connection, incident.id)
    for event in pinned.events if pinned is not None else ():
        if (from_us is None or event.time_us >= from_us) and (until_us is None or event.time_us < until_us):
            yield event
    mentioning = [values] if values else None
    for _, event in recorder.scan(connection, from_us=from_us, until_us=until_us, mentioning=mentioning):
        yield event


def _of_type(event_type: str, wanted: str) -> bool:
    """`training.*` asks for all that begin with `training.`, nothing for all."""
    return not wanted or event_type == wanted or (wanted.endswith(".*") and event_type.startswith(wanted[:-1]))


def answer(connection: Connection, request: bytes) -> bytes:
    """`find` for another process: the question and the answer as JSON, NOTHING where there is no such incident."""
    return msgspec.json.encode(find(connection, msgspec.json.decode(request, type=Asked)))


if __name__ == "__main__":
    apart.serve(answer)

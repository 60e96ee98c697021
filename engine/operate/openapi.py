"""The control API as an OpenAPI 3.1 document, from the structs that pass over it. Served at `/v1/openapi.json`.

`OPERATIONS` describes each route; a test holds the table equal to the routes that `engine.operate.control` really has,
and the answers of a daemon to the schemas.
"""

import re
from importlib.metadata import version
from typing import Any

import msgspec

from engine.model import Json, Struct
from engine.operate.contract import Act, Advance, Close, Done, Handed, NotDone, NotFound, Reason, Taken, WatchKey
from engine.operate.reviews import Review
from engine.operate.rulestats import RuleStats
from engine.operate.shown import (
    DeadLetterDetail,
    DeadLetterRow,
    IncidentDetail,
    IncidentRow,
    LeaseRow,
    RecordedEvents,
    Status,
    WatchView,
)
from engine.operate.views import LIMIT_DEFAULT, LIMIT_MAX


class Problem(Struct, frozen=True):
    """A request that was not served; `error` says why and what to do."""

    error: str


class Operation(Struct, frozen=True):
    """One route: what it answers, what it takes. `answer` is a type, or None for text; an act's is `Done` mostly."""

    summary: str
    answer: Any = Act
    body: type[Struct] | None = None
    query: tuple[str, ...] = ()


_LIMIT: dict[str, Json] = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
_QUERY: dict[str, Json] = {
    "state": {"type": "string", "default": "open", "description": "a state, `open` for all not closed, or `all`"},
    "ended": {"type": "string", "enum": ["true", "false"], "default": "false"},
    "key": {"type": "string", "description": "a JSON object of text: events that mention all of its values"},
    "around": {"type": "string", "description": "an incident"},
    "before_us": {"type": "integer", "minimum": 0, "description": "microseconds before it opened"},
    "after_us": {"type": "integer", "minimum": 0, "description": "microseconds after it opened"},
    "since": {"type": "string", "format": "date-time"},
    "until": {"type": "string", "format": "date-time"},
    "type": {"type": "string", "description": "an event type, or a prefix such as `training.*`"},
    "limit": _LIMIT,
}
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("GET", "/v1/status"): Operation("How the daemon is doing", Status),
    ("GET", "/v1/incidents"): Operation("Incidents, newest first", list[IncidentRow], query=("state", "limit")),
    ("GET", "/v1/incidents/{incident}"): Operation("One incident with its evidence and steps", IncidentDetail),
    ("GET", "/v1/incidents/{incident}/review"): Operation("All that is known of one, for its review", Review),
    ("GET", "/v1/rules/stats"): Operation("What each rule has come to", list[RuleStats]),
    ("GET", "/v1/events"): Operation(
        "Recorded events, by key, type and time, or around an incident",
        RecordedEvents,
        query=("key", "around", "before_us", "after_us", "since", "until", "type", "limit"),
    ),
    ("GET", "/v1/watch"): Operation("The keys that are watched more closely", list[WatchView]),
    ("GET", "/v1/leases"): Operation("What is contained", list[LeaseRow], query=("ended", "limit")),
    ("GET", "/v1/deadletters"): Operation("Messages that were no events", list[DeadLetterRow], query=("limit",)),
    ("GET", "/v1/deadletters/{number}"): Operation("One of them, with its payload", DeadLetterDetail),
    ("GET", "/v1/openapi.json"): Operation("This document", dict[str, Any]),
    ("GET", "/metrics"): Operation("Metrics in Prometheus' text format", None),
    ("POST", "/v1/incidents/{incident}/ack"): Operation("Say that somebody looks after it", body=Reason),
    ("POST", "/v1/incidents/{incident}/close"): Operation("End it; what it alone holds is released", body=Close),
    ("POST", "/v1/incidents/{incident}/advance"): Operation("Move it on by a person's word", body=Advance),
    ("POST", "/v1/incidents/{incident}/reopen"): Operation("Open a closed one again", body=Reason),
    ("POST", "/v1/watch"): Operation("Watch a key more closely", body=WatchKey),
    ("POST", "/v1/unwatch"): Operation("Watch it no more", body=WatchKey),
    ("POST", "/v1/incidents/{incident}/steps/{step}/approve"): Operation("Let a step go ahead"),
    ("POST", "/v1/incidents/{incident}/steps/{step}/deny"): Operation("Refuse a step", body=Reason),
    ("POST", "/v1/leases/{lease}/release"): Operation("Undo what it holds, and read the target back", body=Reason),
    ("POST", "/v1/deadletters/{number}/drop"): Operation("Forget a dead letter"),
    ("POST", "/v1/deadletters/{number}/retry"): Operation("Take a dead letter in again, under the config of now"),
    ("POST", "/v1/events"): Operation("Take events of a recording in; answered once they are durable", Taken, Handed),
    ("POST", "/v1/pause"): Operation("Stop all acting; leases stay in force", body=Reason),
    ("POST", "/v1/resume"): Operation("Act again, held steps first"),
    ("POST", "/v1/reload"): Operation("Read the rules again; bad ones leave the old ones running"),
}
_REF = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    """The whole document."""
    types: list[Any] = [Problem, Done, NotDone, NotFound]
    for operation in OPERATIONS.values():
        types += [each for each in (operation.answer, operation.body) if each is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Halon control API",
            "version": version("halon"),
            "description": "HTTP over the control socket. The kernel names the peer: root, the daemon's own user and"
            " members of the group `halon` may act, others whom the socket lets in may read. Each act is in the audit"
            " log with who did it. One request per connection.",
        },
        "servers": [{"url": "http://localhost", "description": "on the Unix socket, /run/halon/control.sock"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(method: str, path: str, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    parameters += [{"name": name, "in": "query", "schema": _QUERY[name]} for name in operation.query]
    made: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}{path}").strip("_"),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": _responses(method, path, operation, schemas),
    }
    if method == "POST":
        body = schemas[repr(operation.body)] if operation.body else {"type": "object", "additionalProperties": False}
        made["requestBody"] = {
            "required": operation.body in {Close, Handed, WatchKey},
            "content": {"application/json": {"schema": body}},
        }
    return made


def _responses(method: str, path: str, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    problem = schemas[repr(Problem)]
    if method == "POST":
        found = {
            "200": _answer("Done", schemas[repr(Done if operation.answer is Act else operation.answer)]),
            "404": _answer("There is no such thing, or path", {"anyOf": [schemas[repr(NotFound)], problem]}),
            "409": _answer("Not done, and why", schemas[repr(NotDone)]),
            "403": _answer("The peer may read but not act", problem),
        }
    elif operation.answer is None:
        found = {"200": {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    else:
        found = {"200": _answer("The answer", schemas[repr(operation.answer)])}
        if "{" in path or "around" in operation.query:
            found["404"] = _answer("There is no such thing", problem)
    return {**found, "default": _answer("Not served, and why", problem)}


def _answer(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _path_schema(name: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0} if name == "number" else {"type": "string"}

"""The HTTP door as an OpenAPI 3.1 document: `GET /openapi.json` at the door itself. A test holds the door to it.

Written by hand, since what a sender may post is the CloudEvents specification and not a struct of ours.
"""

from importlib.metadata import version
from typing import Any

from engine.cloudevents import ATTRIBUTE_CHARS_MAX, BATCH, EXTENSION_NAME_CHARS_MAX, INTEGER_MAX, STRUCTURED
from engine.config import HttpConfig

_TEXT = {
    "type": "string",
    "minLength": 1,
    "maxLength": ATTRIBUTE_CHARS_MAX,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
}
_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {**_TEXT, "description": "unique for its `source`: by the two a duplicate is known"},
        "source": _TEXT,
        "type": _TEXT,
        "subject": {**_TEXT, "description": "what the event is about: a model, a run, a client"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"type": "string", "examples": ["application/json"]},
        "dataschema": {"type": "string", "format": "uri"},
        "data": {"description": "any JSON"},
    },
    "propertyNames": {"pattern": f"^[a-z0-9]{{1,{EXTENSION_NAME_CHARS_MAX}}}$"},
    "additionalProperties": {
        "description": "extension attributes",
        "anyOf": [
            {"type": "string", "maxLength": ATTRIBUTE_CHARS_MAX},
            {"type": "boolean"},
            {"type": "integer", "minimum": -INTEGER_MAX - 1, "maximum": INTEGER_MAX},
        ],
    },
}
_REFUSALS = {
    "400": "The body is not what the sender's format asks for; nothing of it is taken",
    "401": "The token or the signature is missing or wrong",
    "403": "The sender may not say this; nothing of it is taken, and rules are told",
    "404": "There is no such sender",
    "408": "The body did not come in time",
    "409": "This very message, as it was signed then, was taken before",
    "413": "The body, as sent or unpacked, or the number of events in it, is too large",
    "415": "The media type is none of the sender's format, or `Content-Encoding` none of gzip and deflate",
    "429": "More than this sender may send, or too many requests are under way: come again after `Retry-After`",
    "503": "The store takes nothing at present, or not in time: send it again after `Retry-After`",
}


def document(config: HttpConfig) -> dict[str, Any]:
    """The whole document for a door."""
    scheme = "https" if config.certificate_file else "http"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Halon: the door for events",
            "version": version("halon"),
            "description": "202 means that the events are durable. A sender proves itself by a bearer token (or a"
            " password, where it can't send one), by an HMAC of the body, or by Standard Webhooks; what it posts is in"
            " the format that config.toml gives it.",
        },
        "servers": [{"url": f"{scheme}://{config.listen}:{config.port}"}],
        "paths": {
            "/events/{sender}": {"post": _post()},
            "/openapi.json": {"get": _page("This document", "application/json", {"type": "object"})},
            "/healthz": {"get": _page("Whether the daemon makes progress", "text/plain", unready=True)},
            "/readyz": {"get": _page("Whether events are taken in", "text/plain", unready=True)},
            **(
                {"/metrics": {"get": _page("Prometheus' text format", "text/plain", unready=True)}}
                if config.metrics
                else {}
            ),
        },
        "components": {
            "schemas": {
                "Event": _EVENT,
                "Accepted": {
                    "type": "object",
                    "required": ["accepted"],
                    "properties": {
                        "accepted": {"type": "integer", "minimum": 0},
                        "refused": {
                            "type": "integer",
                            "description": "parts of a producer's message that were no events",
                        },
                        "reason": {"type": "string"},
                    },
                    "additionalProperties": False,
                },
                "Problem": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string", "minLength": 1}},
                    "additionalProperties": False,
                },
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _post() -> dict[str, Any]:
    event, problem = {"$ref": "#/components/schemas/Event"}, {"$ref": "#/components/schemas/Problem"}
    answers = {
        status: {"description": text, "content": {"application/json": {"schema": problem}}}
        for status, text in _REFUSALS.items()
    }
    accepted = {"$ref": "#/components/schemas/Accepted"}
    return {
        "operationId": "post_events",
        "summary": "Hand events in",
        "security": [{"token": []}, {"password": []}, {}],
        "parameters": [
            {
                "name": "sender",
                "in": "path",
                "required": True,
                "description": "`name` of the entry of `http.senders`",
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
            }
        ],
        "requestBody": {
            "required": True,
            "description": "By the format of the sender: CloudEvents as one event or a batch (or, with `ce-` headers,"
            " any data), or what its producer sends. `Content-Encoding` may be gzip or deflate; an HMAC or signature"
            " is over the bytes as they are sent.",
            "content": {
                STRUCTURED: {"schema": event},
                BATCH: {"schema": {"type": "array", "items": event}},
                "application/json": {"schema": {}},
            },
        },
        "responses": {
            "202": {"description": "They are durable", "content": {"application/json": {"schema": accepted}}},
            **answers,
        },
    }


def _page(
    summary: str, media_type: str, schema: dict[str, Any] | None = None, *, unready: bool = False
) -> dict[str, Any]:
    content = {media_type: {"schema": schema or {"type": "string"}}}
    responses: dict[str, Any] = {"200": {"description": summary, "content": content}}
    if unready:
        responses["503"] = {"description": "Not so, and why", "content": content}
    return {"summary": summary, "responses": responses}

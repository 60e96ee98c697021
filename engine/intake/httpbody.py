"""The body of a request and the headers that are part of it to events, by the format of its sender.

`engine.intake.http` calls it once the request is proved. CloudEvents are taken as a whole or not at all, since their
sender was made for Halon and hears what is wrong; of what other programs send the good is taken.
"""

from collections.abc import Mapping
from urllib.parse import unquote

from engine.cloudevents import BATCH, STRUCTURED, Decoded, Malformed, decode_binary, decode_event
from engine.intake.contract import Received
from engine.intake.producers.contract import Message, produce
from engine.intake.producers.table import PRODUCERS
from engine.intake.senders import Sender
from engine.model import Event, Struct

HEADERS_MAX = 80
_CE = "ce-"
_KEPT = (_CE, "x-mlflow-", "webhook-")
"""Headers with these beginnings are part of a message; no other is kept, least of all a secret."""


class NotDecoded(Struct, frozen=True):
    """Nothing of the request is taken: the HTTP status and the reason to answer with."""

    status: int
    reason: str


def kept_headers(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers that are part of a message, names in small letters, in their order, repetitions included."""
    return tuple((name.lower(), value) for name, value in headers.items() if name.lower().startswith(_KEPT))[
        : HEADERS_MAX + 1
    ]


def decode_body(sender: Sender, received: Received, *, events_max: int) -> Decoded | NotDecoded:
    """What a proved request brought; `received` has its body and the headers that are part of it."""
    source = f"/{received.topic}"
    answer: list[Event] | Event | Malformed | NotDecoded
    match sender.config.format:
        case "cloudevents":
            answer = _cloudevents(sender, received, events_max=events_max)
        case "json":
            assert sender.mapper is not None, "checked when the sender was made"
            arrived_us = received.received_us
            if sender.mapper.splits:
                return sender.mapper.events(
                    received.payload, topic=received.topic, source=source, arrived_us=arrived_us, events_max=events_max
                )
            answer = sender.mapper.event(received.payload, topic=received.topic, source=source, arrived_us=arrived_us)
        case producer:
            message = Message(
                body=received.payload,
                source=source,
                arrived_us=received.received_us,
                content_type=received.content_type,
                headers=dict(received.properties),
            )
            return produce(PRODUCERS[producer], message, events_max=events_max)
    if isinstance(answer, NotDecoded):
        return answer
    if isinstance(answer, Malformed):
        return NotDecoded(400, answer.reason)
    return Decoded([answer] if isinstance(answer, Event) else answer, [])


def _cloudevents(
    sender: Sender, received: Received, *, events_max: int
) -> list[Event] | Event | Malformed | NotDecoded:
    media_type = received.content_type.partition(";")[0].strip().lower()
    if media_type in {STRUCTURED, BATCH}:
        return decode_event(received.payload, arrived_us=received.received_us, events_max=events_max)
    if "ce-specversion" not in dict(received.properties):
        return NotDecoded(
            415, f"`Content-Type` is neither `{STRUCTURED}` nor `{BATCH}`, and there are no `ce-` headers"
        )
    if sender.signs:
        # The signature covers the body alone, and in binary mode the attributes stand in headers
        return NotDecoded(415, "a sender that signs can't use binary mode: its headers are not signed")
    return _binary(received)


def _binary(received: Received) -> Event | Malformed:
    """Binary mode: attributes in `ce-` headers, percent-encoded (HTTP binding 1.0.2, 3.1.3); data is the body."""
    attributes: dict[str, str] = {}
    for name, value in received.properties:
        if name.startswith(_CE):
            attribute = name.removeprefix(_CE)
            if attribute in attributes:
                return Malformed(f"the header `{name}` is given twice")
            attributes[attribute] = unquote(value)
    if len(attributes) > HEADERS_MAX:
        return Malformed(f"more than {HEADERS_MAX} `ce-` headers")
    content_type = received.content_type or None
    return decode_binary(attributes, received.payload, content_type=content_type, arrived_us=received.received_us)

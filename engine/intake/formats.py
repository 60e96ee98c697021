"""Received messages to events, or to dead letters that say why not; by the format of their topic or sender.

`engine.pipeline` calls it for every message; what came by HTTP its door has decoded already, and comes here again only
where an operator tries a dead letter anew. Bad input is data here: nothing raises for it.
"""

import re
from collections.abc import Sequence

from engine.cel.environment import CelEnvironment
from engine.cloudevents import Malformed, decode, decode_binary, decode_plain
from engine.config import Config, SenderConfig, TopicConfig
from engine.intake.contract import DeadLetter, Once, Received
from engine.intake.letters import batch_letters, joined_reasons, letter
from engine.intake.mapping import EventMapper, compile_map
from engine.intake.permits import objection, violation
from engine.intake.producers.contract import Message, produce
from engine.intake.producers.table import PRODUCERS
from engine.intake.topics import matches
from engine.model import Event

TOPICS_CACHED_MAX = 10_000
TOPIC_CHARS_CACHED_MAX = 256
HTTP = "http"
"""The name of the HTTP door, and the first level of the topics of its senders."""

_CLOUDEVENTS_TYPE = "application/cloudevents"
_ATTRIBUTE = re.compile(r"[a-z0-9]+")


class Formats:
    """The formats of all topics of a config. Raises ValueError where an expression of a `map` does not compile."""

    def __init__(self, config: Config) -> None:
        environment = CelEnvironment({})
        self._payload_bytes_max = config.intake.payload_bytes_max
        self._events_max = config.intake.payload_events_max
        self._topics: dict[str, list[tuple[TopicConfig, EventMapper | None]]] = {
            broker.name: [(each, _mapper(each, environment)) for each in broker.topics] for broker in config.mqtt
        }
        senders = [_as_topic(each) for each in config.http.senders]
        self._topics[HTTP] = [(each, _mapper(each, environment)) for each in senders]
        self._known: dict[tuple[str, str], tuple[TopicConfig, EventMapper | None] | None] = {}

    def decode(self, received: Received) -> Sequence[Event | DeadLetter | Once]:
        """The events of a message in their order, and a dead letter for what of it could not become one."""
        if received.events is not None:
            return received.events
        if received.problem:
            return [letter(received, received.problem)]
        if received.size_bytes > self._payload_bytes_max:
            limit = f"`intake.payload_bytes_max` is {self._payload_bytes_max}"
            return [letter(received, f"the payload has {received.size_bytes} bytes; {limit}")]
        found = self._topic(received.door, received.topic)
        if found is None:
            # A persistent session keeps the subscriptions of earlier configs
            return [letter(received, "no topic of the config matches: the broker still holds an older subscription")]
        topic, mapper = found
        if topic.format in PRODUCERS:
            return [
                each if isinstance(each, DeadLetter) else _permitted(each, received, topic)
                for each in self._produced(received, topic)
            ]
        if mapper is not None and mapper.splits:
            decoded = mapper.events(
                received.payload,
                topic=received.topic,
                source=_source(received),
                arrived_us=received.received_us,
                events_max=self._events_max,
                retained=received.retained,
            )
            events = [_permitted(each, received, topic) for each in decoded.events]
            if not decoded.malformed:
                return events
            return [*events, letter(received, joined_reasons(decoded.malformed))]
        if mapper is not None:
            event = mapper.event(
                received.payload,
                topic=received.topic,
                source=_source(received),
                arrived_us=received.received_us,
                retained=received.retained,
            )
            return [
                letter(received, event.reason) if isinstance(event, Malformed) else _permitted(event, received, topic)
            ]
        return [
            each if isinstance(each, DeadLetter) else _permitted(each, received, topic)
            for each in self._cloudevents(received)
        ]

    def _produced(self, received: Received, topic: TopicConfig) -> Sequence[Event | DeadLetter]:
        message = Message(
            body=received.payload,
            source=_source(received),
            arrived_us=received.received_us,
            content_type=received.content_type,
            headers={name.lower(): value for name, value in received.properties},
        )
        decoded = produce(PRODUCERS[topic.format], message, events_max=self._events_max)
        if not decoded.malformed:
            return decoded.events
        return [*decoded.events, letter(received, joined_reasons(decoded.malformed))]

    def _cloudevents(self, received: Received) -> Sequence[Event | DeadLetter]:
        if received.properties and not received.content_type.startswith(_CLOUDEVENTS_TYPE):
            attributes = dict(received.properties)
            if "specversion" in attributes:
                return [self._binary(received, attributes)]
        event = decode_plain(received.payload, received.received_us)
        if event is not None:
            return (event,)
        decoded = decode(received.payload, arrived_us=received.received_us, events_max=self._events_max)
        if not decoded.malformed:
            return decoded.events
        return [*decoded.events, *batch_letters(received, decoded.malformed)]

    def _binary(self, received: Received, attributes: dict[str, str]) -> Event | DeadLetter:
        """MQTT 5 binary mode: attributes are user properties, data is the payload."""
        if len(attributes) != len(received.properties):
            return letter(received, "a user property is given twice")
        # Not every user property is an attribute: what can't be the name of one belongs to somebody else
        own = {
            name: value for name, value in attributes.items() if name.isascii() and name.isalnum() and name.islower()
        }
        event = decode_binary(
            own, received.payload, content_type=received.content_type or None, arrived_us=received.received_us
        )
        return letter(received, event.reason) if isinstance(event, Malformed) else event

    def _topic(self, door: str, topic: str) -> tuple[TopicConfig, EventMapper | None] | None:
        """The first entry of the door's `topics` whose filter the topic falls under."""
        known = (door, topic)
        try:
            return self._known[known]
        except KeyError:
            if len(self._known) >= TOPICS_CACHED_MAX:
                self._known.clear()
            found = next((each for each in self._topics.get(door, []) if matches(each[0].filter, topic)), None)
            if len(topic) <= TOPIC_CHARS_CACHED_MAX:
                self._known[known] = found
            return found


def _permitted(event: Event, received: Received, topic: TopicConfig) -> Event:
    """The event, or what tells that it may not be said there."""
    reason = objection(event, topic.may)
    if not reason:
        return event
    return violation(
        event,
        reason,
        door=received.door,
        entry=topic.filter,
        topic=received.topic,
        arrived_us=received.received_us,
    )


def _source(received: Received) -> str:
    """The source of events whose messages name none: the door and the topic, or the sender."""
    return f"/{received.topic}" if received.door == HTTP else f"/{received.door}/{received.topic}"


def _as_topic(sender: SenderConfig) -> TopicConfig:
    """A sender under the topic that its messages carry."""
    return TopicConfig(filter=f"{HTTP}/{sender.name}", format=sender.format, map=sender.map, may=sender.may)


def _mapper(topic: TopicConfig, environment: CelEnvironment) -> EventMapper | None:
    if topic.format != "json":
        return None
    if topic.map is None:
        raise ValueError(f'topic `{topic.filter}`: `format = "json"` needs a `map`')
    made = compile_map(topic.map, environment)
    if isinstance(made, EventMapper):
        return made
    attribute, problems = next(iter(made.items()))
    raise ValueError(f"topic `{topic.filter}`: `map.{attribute}`: {problems[0].message}")

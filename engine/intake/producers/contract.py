"""What a producer is: the class that turns one of its messages into events, in the vocabulary of docs/events.md.

`engine.intake.formats` calls it for both doors, by the name that stands as `format` in config.toml. A class is one file
and one line in `engine.intake.producers.table`; one contract suite and one folder of samples hold all of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from engine.cloudevents import Decoded, Malformed
from engine.model import Event, Struct


class Message(Struct, frozen=True):
    """One message as a door received it.

    `source` names the door and the sender or topic. `headers` are the HTTP headers, or MQTT 5 user properties, with
    names in small letters. Nothing in them was proved by a signature over the body.
    """

    body: bytes
    source: str
    arrived_us: int
    content_type: str = ""
    headers: dict[str, str] = {}


class Producer(ABC):
    """Turns messages of one kind of program into events.

    The class docstring says which program, which versions its sample is of, and what an operator should know;
    `connect` shows, in Markdown, how the program is made to send.
    """

    name: ClassVar[str]
    """As `format` in config.toml."""
    title: ClassVar[str]
    types: ClassVar[tuple[str, ...]]
    """The event types that come out; a type that ends in `.*` stands for all below it."""
    connect: ClassVar[str]
    trusts_headers: ClassVar[bool] = False
    """Whether what stands in headers becomes part of events: then a signature over the body is no proof of them."""

    @staticmethod
    @abstractmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        """The events of a message in their order, and a reason for each part of it that can't be one.

        Raises nothing. Where one part is no good the others are given all the same: the program that sent it can't be
        made to send better, and one odd record must not hide the rest. Ids come from what the message says, so that a
        message delivered twice gives the same events; unless it has neither a time nor an id of its own, then the time
        of arrival is part of them. An id that a third party can choose is never the whole of an event's id: whoever
        repeats it would be taken for a duplicate and go unseen.
        """


def produce(producer: type[Producer], message: Message, *, events_max: int) -> Decoded:
    """All events of a message and all that is wrong with it; a message of too many parts is wrong as a whole."""
    events: list[Event] = []
    malformed: list[Malformed] = []
    for each in producer.convert(message):
        if isinstance(each, Malformed):
            malformed.append(each)
        else:
            events.append(each)
        if len(events) + len(malformed) > events_max:
            return Decoded([], [Malformed(f"more than {events_max} events in one message")])
    return Decoded(events, malformed)

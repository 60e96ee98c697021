"""Plain JSON without an envelope to an `Event`, by the CEL expressions of a topic's or sender's `map`.

`type`, `source`, `subject`, `id`, `time` and `data` are each an expression over `topic` (the levels of the topic) and
`payload`; with `each`, an expression that gives a list, every item of it is such a payload and an event of its own.
`engine.intake.formats` uses it for MQTT, `engine.intake.httpbody` for senders of plain JSON.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from engine.cel.contract import CelFault, Expression, Scope
from engine.cel.declare import ScopeKind
from engine.cel.environment import CelEnvironment
from engine.cel.problems import CelProblem
from engine.cel.runtime import Want
from engine.clock import SECOND_US, TIME_MAX_US, TIME_MIN_US, parse_time_us
from engine.cloudevents import SPEC_VERSION, Decoded, Malformed, event_from
from engine.config import EventMap
from engine.model import Event, Json

_WANTED = {
    "each": Want.ANY,
    "type": Want.STRING,
    "source": Want.STRING,
    "subject": Want.ANY,
    "id": Want.ANY,
    "time": Want.ANY,
    "data": Want.ANY,
}
_ANY = msgspec.json.Decoder()


class Unmapped(Exception):  # noqa: N818  # ends the mapping of one message; the caller sees Malformed
    """An expression gave nothing that can stand in its attribute."""


class EventMapper:
    """The compiled `map` of one topic or sender. Make it with `compile_map`."""

    def __init__(self, expressions: dict[str, Expression]) -> None:
        self._expressions = expressions

    @property
    def splits(self) -> bool:
        """Whether one message may bring several events."""
        return "each" in self._expressions

    def events(
        self, raw: bytes, *, topic: str, source: str, arrived_us: int, events_max: int, retained: bool = False
    ) -> Decoded:
        """A message to the events of its items, and why some of them are none. `source` as for `event`."""
        try:
            payload: Json = _ANY.decode(raw)
            items = self._value("each", Scope(topic=tuple(topic.split("/")), payload=payload), _as_items)
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
            # Said by what says it for any message
            made = self.event(raw, topic=topic, source=source, arrived_us=arrived_us, retained=retained)
            return Decoded([], [made if isinstance(made, Malformed) else Malformed("not JSON")])
        except Unmapped as error:
            return Decoded([], [Malformed(str(error))])
        if len(items) > events_max:
            return Decoded([], [Malformed(f"{len(items)} items in one message; at most {events_max} are taken")])
        decoded = Decoded([], [])
        for index, item in enumerate(items):
            # Equal items of one message are several; those of a second delivery are the same
            identity = b"%d\0%b" % (index, _encoded(item))
            made = self._mapped(item, identity, topic, source, arrived_us, retained=retained)
            if isinstance(made, Malformed):
                decoded.malformed.append(Malformed(f"item {index}: {made.reason}"))
            else:
                decoded.events.append(made)
        return decoded

    def event(
        self, raw: bytes, *, topic: str, source: str, arrived_us: int, retained: bool = False
    ) -> Event | Malformed:
        """A message to its event, or why not. `source` stands where the map names none.

        Without `id`, the id is a hash of the source, topic and payload and the event's time, so that a message
        delivered twice has one id. A map without `time` as well takes the time of arrival, which a second delivery
        does not share: two equal messages are then two events. Retained messages are the exception: they are a
        state, not a happening, and have one id however often a broker repeats them.
        """
        try:
            payload: Json = _ANY.decode(raw)
        except UnicodeDecodeError as error:
            return Malformed(f"not UTF-8: {error.reason} at byte {error.start}")
        except msgspec.DecodeError as error:
            return Malformed(f"not JSON: {error}")
        except RecursionError:
            return Malformed("nested too deeply")
        return self._mapped(payload, raw, topic, source, arrived_us, retained=retained)

    def _mapped(
        self, payload: Json, raw: bytes, topic: str, source: str, arrived_us: int, *, retained: bool
    ) -> Event | Malformed:
        scope = Scope(topic=tuple(topic.split("/")), payload=payload)
        try:
            mapped_us = self._value("time", scope, _as_time_us)
            origin = self._value("source", scope, _as_text) or source
            wire: dict[str, Json] = {
                "specversion": SPEC_VERSION,
                "id": self._value("id", scope, _as_name)
                or _identity(origin, topic, raw, mapped_us if mapped_us is not None or retained else arrived_us),
                "source": origin,
                "type": self._value("type", scope, _as_text),
                "subject": self._value("subject", scope, _as_name),
                "data": self._value("data", scope, _as_json),
            }
        except Unmapped as error:
            return Malformed(str(error))
        # The members go through the same checks and limits as those of any CloudEvent
        return event_from(wire, arrived_us=arrived_us if mapped_us is None else mapped_us)

    def _value(self, attribute: str, scope: Scope, convert: Callable[[Any], Any]) -> Any:
        expression = self._expressions.get(attribute)
        if expression is None:
            return None
        try:
            return convert(expression.evaluate(scope))
        except (CelFault, ValueError) as error:
            raise Unmapped(f"`map.{attribute}`: {error}") from None


def compile_map(written: EventMap, environment: CelEnvironment) -> EventMapper | dict[str, tuple[CelProblem, ...]]:
    """A mapper, or what is wrong with each attribute's expression."""
    expressions: dict[str, Expression] = {}
    problems: dict[str, tuple[CelProblem, ...]] = {}
    for attribute, want in _WANTED.items():
        source = getattr(written, attribute)
        if not source:
            continue
        made = environment.compile(source, scope=ScopeKind.MESSAGE, want=want)
        if isinstance(made, tuple):
            problems[attribute] = made
        else:
            expressions[attribute] = made
    return problems or EventMapper(expressions)


def _identity(source: str, topic: str, raw: bytes, time_us: int | None) -> str:
    hasher = hashlib.sha256()
    for part in (source.encode("utf-8", "surrogatepass"), topic.encode("utf-8", "surrogatepass"), raw):
        hasher.update(len(part).to_bytes(8, "big"))
        hasher.update(part)
    hasher.update(b"" if time_us is None else str(time_us).encode())
    return f"sha256-{hasher.hexdigest()[:32]}"


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{_word(value)} is no string")


def _as_name(value: Any) -> str | None:
    """Ids and subjects: text, or a whole number or boolean as text; null is none."""
    match value:
        case None | "":
            return None
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case _:
            raise ValueError(f"{_word(value)} is no string or whole number")


def _as_time_us(value: Any) -> int | None:
    """A timestamp, RFC 3339 text or seconds since 1970 to microseconds; null is none."""
    match value:
        case None:
            return None
        case str():
            return parse_time_us(value)
        case datetime():
            return parse_time_us(value.isoformat())
        case bool():
            raise ValueError("a boolean is no time")
        case int() | float():
            if not TIME_MIN_US <= value * SECOND_US <= TIME_MAX_US:
                raise ValueError(f"{value} seconds since 1970 is no time; divide milliseconds by 1000")
            return round(value * SECOND_US)
        case _:
            raise ValueError(f"{_word(value)} is no time")


def _as_items(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise ValueError(f"{_word(value)} is no list")


def _encoded(item: Any) -> bytes:
    return msgspec.json.encode(item, order="deterministic")


def _as_json(value: Any) -> Json:
    plain: Json = msgspec.to_builtins(value)
    return plain


def _word(value: Any) -> str:
    return "null" if value is None else f"a value of type {type(value).__name__}"

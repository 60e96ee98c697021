"""CloudEvents 1.0 messages to `Event`s and back: structured JSON, JSON batch and binary mode.

The doors of `engine.intake`, replay and the demo call it. What is wrong with a message comes back as `Malformed`, a
value with its reason; nothing here raises for bad input. In `Event.ext` stand the extension attributes, and
`datacontenttype` and `dataschema` under these names, which no extension can have.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import msgspec

from engine.clock import FRACTIONS_US, SECONDS_US, TIME_MAX_US, TIME_MIN_US, format_time, parse_time_us
from engine.model import Event, Json, Struct

SPEC_VERSION = "1.0"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

ATTRIBUTE_CHARS_MAX = 2_048
EXTENSIONS_MAX = 64
EXTENSION_NAME_CHARS_MAX = 64
BATCH_EVENTS_MAX = 10_000
INTEGER_MAX = 2**31 - 1

_OWN = frozenset(("specversion", "id", "source", "type", "time", "subject", "data", "data_base64"))
_CONTENT = frozenset(("datacontenttype", "dataschema"))
_NAME = re.compile(r"[a-z0-9]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;.*)?", re.ASCII | re.DOTALL)
_JSON = "application/json"
_EXT_OF: dict[str | None, dict[str, Json]] = {None: {}, _JSON: {"datacontenttype": _JSON}}
"""The extensions of an event in the common form, which all events share: nobody changes those of an event."""
_BACKSLASH, _DELETE = 0x5C, 0x7F
_BATCH_START = re.compile(rb"[ \t\r\n]*\[")


class Malformed(Struct, frozen=True):
    """A message, or one event of a batch (then with its 0-based `index`), that is no CloudEvent, and why."""

    reason: str
    index: int | None = None


class Decoded(Struct, frozen=True):
    """The good events of a message in their order, and what is wrong with the others."""

    events: list[Event]
    malformed: list[Malformed]


_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=ATTRIBUTE_CHARS_MAX)]


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The common form: no extensions, no base64. Anything else takes the careful way, which knows the reasons."""

    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: _Text
    time: str | None = None
    subject: _Text | None = None
    datacontenttype: str | None = None
    data: Any = None


_PLAIN_ONE = msgspec.json.Decoder(_Plain)
_PLAIN_MANY = msgspec.json.Decoder(list[_Plain])
_decode_plain = _PLAIN_ONE.decode
_ANY = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()


def decode_plain(raw: bytes, arrived_us: int) -> Event | None:
    """The event of a message in its common form, which most are: the quick way to what `decode` gives.

    None for a batch, for extensions, for what is malformed: `decode` takes these. `arrived_us` is the event's time
    where it has none.
    """
    try:
        wire = _decode_plain(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # Of plain ASCII without escapes, JSON lets no control character through but DEL
    if (_BACKSLASH in raw or _DELETE in raw or not raw.isascii()) and not _printable_names(wire):
        return None
    # As `_event` does it, without the calls: here is where the time of a stream goes
    text = wire.time
    try:
        time_us = SECONDS_US[text[:19]] + FRACTIONS_US[text[19:]]  # type: ignore[index]  # None: TypeError
        ext = _EXT_OF[wire.datacontenttype]
    except (KeyError, TypeError):
        return _event(wire, arrived_us)
    return Event(wire.id, wire.source, wire.type, time_us, wire.subject, wire.data, ext)


def decode_event(raw: bytes, *, arrived_us: int, events_max: int = BATCH_EVENTS_MAX) -> list[Event] | Malformed:
    """A structured CloudEvent or a JSON batch to its events, all of them or the first reason why not.

    `arrived_us` is the event's time where it has none. A batch may be empty.
    """
    decoded = decode(raw, arrived_us=arrived_us, events_max=events_max)
    if decoded.malformed:
        first = decoded.malformed[0]
        return first if first.index is None else Malformed(f"event {first.index} of the batch: {first.reason}")
    return decoded.events


def decode(raw: bytes, *, arrived_us: int, events_max: int = BATCH_EVENTS_MAX) -> Decoded:
    """A structured CloudEvent or a JSON batch to its good events and, one by one, what is wrong with the others."""
    batch = _BATCH_START.match(raw) is not None
    if not batch:
        only = decode_plain(raw, arrived_us)
        if only is not None:
            return Decoded([only], [])
    else:
        try:
            plain = _PLAIN_MANY.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # the careful way says why
        else:
            if len(plain) > events_max:
                return _too_many(len(plain), events_max)
            events = [_from_plain(wire, arrived_us) for wire in plain]
            if None not in events:
                return Decoded(cast("list[Event]", events), [])
    return _decode_carefully(raw, batch=batch, arrived_us=arrived_us, events_max=events_max)


def decode_binary(
    attributes: Mapping[str, str], payload: bytes, *, content_type: str | None, arrived_us: int
) -> Event | Malformed:
    """Binary mode: attributes from headers or user properties (names without a prefix), data from the payload.

    Data of a JSON media type is decoded, of a text type kept as text, of any other as base64 text; an empty payload
    is no data.
    """
    wire: dict[str, Json] = dict(attributes)
    if "data" in wire or "data_base64" in wire:
        return Malformed("`data` is not the name of an attribute")
    if content_type:
        wire["datacontenttype"] = content_type
    event = event_from(wire, arrived_us=arrived_us)
    if isinstance(event, Malformed) or not payload:
        return event
    data = _data_of(payload, content_type)
    return data if isinstance(data, Malformed) else msgspec.structs.replace(event, data=data)


def event_from(wire: Mapping[str, Json], *, arrived_us: int) -> Event | Malformed:
    """The members of one CloudEvent, as JSON decoded them, to an Event; the reason names the member at fault."""
    # `null` means that the member is not set (JSON format 1.0.2, section 2.2)
    given = {name: value for name, value in wire.items() if value is not None}
    version = given.get("specversion")
    if version != SPEC_VERSION:
        return Malformed(
            "`specversion` is missing: not a CloudEvent" if version is None else '`specversion` is not "1.0"'
        )
    for name in ("id", "source", "type"):
        if name not in given:
            return Malformed(f"`{name}` is missing")
    for name in ("id", "source", "type", "time", "subject", "datacontenttype", "dataschema"):
        if name in given and (wrong := _wrong_text(name, given[name])) is not None:
            return Malformed(wrong)
    time_us = _time_us(str(given["time"])) if "time" in given else arrived_us
    if isinstance(time_us, Malformed):
        return time_us
    extensions = {name: value for name, value in given.items() if name not in _OWN and name not in _CONTENT}
    if (wrong := _wrong_extensions(extensions)) is not None:
        return Malformed(wrong)
    data = _member_data(given)
    if isinstance(data, Malformed):
        return data
    subject = given.get("subject")
    return Event(
        id=str(given["id"]),
        source=str(given["source"]),
        type=str(given["type"]),
        time_us=time_us,
        subject=None if subject is None else str(subject),
        data=data,
        ext={**{name: given[name] for name in ("datacontenttype", "dataschema") if name in given}, **extensions},
    )


def encode_event(event: Event) -> bytes:
    """An Event to a structured CloudEvent in JSON, which `decode_event` turns into an equal Event."""
    wire: dict[str, Json] = {
        "specversion": SPEC_VERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": format_time(event.time_us),
    }
    if event.subject is not None:
        wire["subject"] = event.subject
    wire |= {name: value for name, value in event.ext.items() if name not in _OWN}
    if event.data is not None:
        wire["data"] = event.data
    return _ENCODER.encode(wire)


def is_json_type(media_type: str | None) -> bool:
    """Whether data of that media type is JSON; no type means JSON, as the specification has it."""
    if not media_type:
        return True
    subtype = _essence(media_type).partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def _from_plain(wire: _Plain, arrived_us: int) -> Event | None:
    """The event, or None where something is not quite in order and the careful way has to say what."""
    return _event(wire, arrived_us) if _printable_names(wire) else None


def _printable_names(wire: _Plain) -> bool:
    return f"{wire.id}{wire.source}{wire.type}{wire.subject}".isprintable()


def _event(wire: _Plain, arrived_us: int) -> Event | None:
    """The same, with the attributes known to be printable."""
    if wire.time is None:
        time_us = arrived_us
    else:
        try:
            time_us = parse_time_us(wire.time)
        except ValueError:
            return None
        if not TIME_MIN_US <= time_us <= TIME_MAX_US:
            return None
    ext = _EXT_OF.get(wire.datacontenttype)
    if ext is None:
        return None
    return Event(wire.id, wire.source, wire.type, time_us, wire.subject, wire.data, ext)


def _decode_carefully(raw: bytes, *, batch: bool, arrived_us: int, events_max: int) -> Decoded:
    try:
        value: Json = _ANY.decode(raw)
    except UnicodeDecodeError as error:
        return Decoded([], [Malformed(f"not UTF-8: {error.reason} at byte {error.start}")])
    except msgspec.DecodeError as error:
        return Decoded([], [Malformed(f"not JSON: {error}")])
    except RecursionError:
        return Decoded([], [Malformed("nested too deeply")])
    wires = value if batch and isinstance(value, list) else [value]
    if len(wires) > events_max:
        return _too_many(len(wires), events_max)
    events: list[Event] = []
    malformed: list[Malformed] = []
    for index, wire in enumerate(wires):
        if isinstance(wire, dict):
            event = event_from(wire, arrived_us=arrived_us)
        else:
            event = Malformed(f"a CloudEvent is a JSON object, not {_kind(wire)}")
        if isinstance(event, Event):
            events.append(event)
        else:
            malformed.append(Malformed(event.reason, index if batch else None))
    return Decoded(events, malformed)


def _too_many(count: int, events_max: int) -> Decoded:
    return Decoded([], [Malformed(f"{count} events in one batch; at most {events_max} are taken")])


def _wrong_text(name: str, value: Json) -> str | None:
    """What is wrong with a context attribute that has to be text."""
    if not isinstance(value, str):
        return f"`{name}` is {_kind(value)}, not a string"
    if not value:
        return f"`{name}` is empty"
    if len(value) > ATTRIBUTE_CHARS_MAX:
        return f"`{name}` is longer than {ATTRIBUTE_CHARS_MAX} characters"
    if _CONTROL.search(value):
        return f"`{name}` holds a control character"
    if name == "datacontenttype" and not _MEDIA_TYPE.fullmatch(value):
        return f"`datacontenttype` `{value[:64]}` is not a media type"
    return None


def _wrong_extensions(extensions: Mapping[str, Json]) -> str | None:
    if len(extensions) > EXTENSIONS_MAX:
        return f"more than {EXTENSIONS_MAX} extension attributes"
    for name, value in extensions.items():
        if not _NAME.fullmatch(name):
            return f"`{_printable(name)}` is not the name of an attribute: only a-z and 0-9 are allowed"
        if len(name) > EXTENSION_NAME_CHARS_MAX:
            return f"`{name[:EXTENSION_NAME_CHARS_MAX]}…` is longer than {EXTENSION_NAME_CHARS_MAX} characters"
        match value:
            case bool():
                pass
            case int():
                if not -INTEGER_MAX - 1 <= value <= INTEGER_MAX:
                    return f"`{name}` does not fit into 32 bits"
            case str():
                if len(value) > ATTRIBUTE_CHARS_MAX:
                    return f"`{name}` is longer than {ATTRIBUTE_CHARS_MAX} characters"
                if _CONTROL.search(value):
                    return f"`{name}` holds a control character"
            case _:
                return f"`{name}` is {_kind(value)}; an extension attribute is a string, an integer or a boolean"
    return None


def _time_us(text: str) -> int | Malformed:
    try:
        time_us = parse_time_us(text)
    except ValueError as error:
        return Malformed(f"`time`: {_printable(str(error), 200)}")
    if not TIME_MIN_US <= time_us <= TIME_MAX_US:
        return Malformed("`time` is before 1970 or after 9999")
    return time_us


def _member_data(given: Mapping[str, Json]) -> Json | Malformed:
    """The data of a structured event: `data` as it stands, `data_base64` by its media type."""
    encoded = given.get("data_base64")
    if encoded is None:
        return given.get("data")
    if "data" in given:
        return Malformed("both `data` and `data_base64` are given")
    if not isinstance(encoded, str):
        return Malformed(f"`data_base64` is {_kind(encoded)}, not a string")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        return Malformed(f"`data_base64` is not base64: {error}")
    media_type = given.get("datacontenttype")
    # Without a type, base64 says that it is bytes: they stay as they are
    return encoded if media_type is None else _data_of(data, str(media_type))


def _data_of(payload: bytes, media_type: str | None) -> Json | Malformed:
    """Bytes of that media type as a JSON value: JSON decoded, text as text, anything else as base64 text."""
    if is_json_type(media_type):
        try:
            value: Json = _ANY.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Malformed(f"the data is not JSON: {error}")
        except RecursionError:
            return Malformed("the data is nested too deeply")
        return value
    kind = _essence(media_type or "")
    if kind.startswith("text/") or kind.endswith(("/xml", "+xml", "/yaml", "+yaml")):
        try:
            return payload.decode("utf-8")
        except UnicodeDecodeError as error:
            return Malformed(f"the data is not UTF-8 text: {error.reason} at byte {error.start}")
    return base64.b64encode(payload).decode("ascii")


def _essence(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "an object"


def _printable(text: str, chars_max: int = 40) -> str:
    return "".join(each if each.isprintable() else "�" for each in text[:chars_max])

"""Foreign JSON read leniently: what is there and of the right kind, nothing where it is not. All producers use it.

What is essential to an event each producer asks for by itself and says so; everything else may be missing, null or of
another kind, since programs add and change fields between versions.
"""

import hashlib
import ipaddress
import math
import re
from collections.abc import Iterator

import msgspec

from engine.clock import SECOND_US, TIME_MAX_US, TIME_MIN_US, parse_time_us
from engine.cloudevents import SPEC_VERSION, Malformed, event_from
from engine.intake.producers.contract import Message
from engine.model import Event, Json

NAME_CHARS_MAX = 256
"""Names are cut to what a key may be."""
SOURCE_CHARS_MAX = 2_048
MILLISECOND_US = 1_000

_ANY = msgspec.json.Decoder()
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Part:
    """A value of a decoded message, and ways to ask for what is in it."""

    def __init__(self, value: Json) -> None:
        self.value = value

    def at(self, *path: str) -> "Part":
        """What stands at a path of member names; a part of null where nothing does."""
        value = self.value
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return Part(value)

    def items(self, *path: str) -> list["Part"]:
        """The members of the array there."""
        value = self.at(*path).value
        return [Part(each) for each in value] if isinstance(value, list) else []

    def members(self, *path: str) -> dict[str, "Part"]:
        """The members of the object there, by name."""
        value = self.at(*path).value
        return {name: Part(each) for name, each in value.items()} if isinstance(value, dict) else {}

    def text(self, *path: str) -> str | None:
        """The text there as it is; none where it is empty."""
        value = self.at(*path).value
        return value if isinstance(value, str) and value else None

    def name(self, *path: str) -> str | None:
        """The text or whole number there as a name: without control characters, cut to `NAME_CHARS_MAX`."""
        value = self.at(*path).value
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return printable(value) if isinstance(value, str) else None

    def number(self, *path: str) -> float | int | None:
        """The finite number there."""
        value = self.at(*path).value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return value if math.isfinite(value) else None

    def integer(self, *path: str) -> int | None:
        """The whole number there, also where it stands in a text."""
        value = self.at(*path).value
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value, re.ASCII):
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def flag(self, *path: str) -> bool | None:
        """The true or false there."""
        value = self.at(*path).value
        return value if isinstance(value, bool) else None

    def json(self) -> str:
        """The value as compact JSON."""
        return msgspec.json.encode(self.value).decode()

    def texts(self, *path: str) -> dict[str, str]:
        """The table of texts there; members of other kinds are left out."""
        return {name: each.value for name, each in self.members(*path).items() if isinstance(each.value, str)}

    def table(self, *path: str) -> dict[str, Json]:
        """The same as JSON."""
        return {**self.texts(*path)}


def read_json(body: bytes) -> Part | Malformed:
    """A body of JSON, or why it is none."""
    try:
        return Part(_ANY.decode(body))
    except UnicodeDecodeError as error:
        return Malformed(f"not UTF-8: {error.reason} at byte {error.start}")
    except msgspec.DecodeError as error:
        return Malformed(f"not JSON: {error}")
    except RecursionError:
        return Malformed("nested too deeply")


def read_lines(body: bytes) -> Iterator[tuple[str, Part | Malformed]]:
    """A body of one JSON value, of an array of them, or of one per line: each with words for its place."""
    whole = read_json(body)
    if isinstance(whole, Part):
        if not isinstance(whole.value, list):
            yield "", whole
            return
        for index, item in enumerate(whole.items()):
            yield f"[{index}]", item
        return
    lines = [each for each in body.splitlines() if each.strip()]
    if len(lines) < 2 or isinstance(read_json(lines[0]), Malformed):
        yield "", whole
        return
    for number, line in enumerate(lines, 1):
        yield f"line {number}", read_json(line)


def known(**fields: Json) -> dict[str, Json]:
    """Those fields that are known: a field of docs/events.md is left out rather than null or empty."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", {}, [])}


def make_event(
    message: Message,
    place: str,
    *,
    id: str,  # noqa: A002  # the attribute's name
    type: str,  # noqa: A002
    data: dict[str, Json],
    time_us: int | None = None,
    source: str = "",
    subject: str | None = None,
) -> Event | Malformed:
    """An event from what a producer found, through the same checks as any; `place` says where in the message."""
    made = event_from(
        {
            "specversion": SPEC_VERSION,
            "id": id,
            "source": _CONTROL.sub("", source)[:SOURCE_CHARS_MAX] or message.source,
            "type": type,
            "subject": subject,
            "data": data,
        },
        arrived_us=message.arrived_us if time_us is None else time_us,
    )
    return Malformed(f"`{place}`: {made.reason}") if isinstance(made, Malformed) and place else made


def at_place(place: str, reason: str) -> Malformed:
    """What is wrong, and with which part of the message."""
    return Malformed(f"`{place}`: {reason}" if place else reason)


def printable(text: str) -> str | None:
    """A text as a name: control characters gone, cut; none where nothing is left."""
    return _CONTROL.sub("", text)[:NAME_CHARS_MAX].strip() or None


def address(text: str | None) -> str | None:
    """The text where it is an IP address: what is none (a host name, a service of the cloud) can't be isolated."""
    try:
        return str(ipaddress.ip_address(text)) if text else None
    except ValueError:
        return None


def rfc3339_us(text: str | None) -> int | None:
    """The time that an RFC 3339 text names, none for what is no time; Go's zero time is none."""
    try:
        time_us = parse_time_us(text) if text else None
    except ValueError:
        return None
    return time_us if time_us is not None and TIME_MIN_US <= time_us <= TIME_MAX_US else None


def seconds_us(seconds: float | int | None) -> int | None:
    """The time so many seconds after 1970, none for what is no time."""
    if seconds is None or not TIME_MIN_US <= seconds * SECOND_US <= TIME_MAX_US:
        return None
    return round(seconds * SECOND_US)


def digest(*parts: str | None) -> str:
    """An id from parts; the same parts give the same id."""
    hasher = hashlib.sha256()
    for part in parts:
        raw = (part or "").encode("utf-8", "surrogatepass")
        hasher.update(len(raw).to_bytes(8, "big"))
        hasher.update(raw)
    return f"sha256-{hasher.hexdigest()[:32]}"

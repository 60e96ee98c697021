"""Structs to the JSON text of a column and back; used by the modules of `engine.store` and nobody else."""

from typing import Any, TypeVar

import msgspec

from engine.clock import encode_hook

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder(enc_hook=encode_hook)
_CANONICAL = msgspec.json.Encoder(enc_hook=encode_hook, order="sorted")


def encode(value: Any) -> str:
    """JSON text of a struct or of plain JSON."""
    return _ENCODER.encode(value).decode("utf-8")


def canonical(value: Any) -> str:
    """JSON text with sorted keys: the same value always gives the same text."""
    return _CANONICAL.encode(value).decode("utf-8")


def decode(text: str | bytes, wanted: type[T]) -> T:
    """The struct from its JSON; raises msgspec.DecodeError where a column was tampered with."""
    return msgspec.json.decode(text, type=wanted)


def decode_any(text: str | bytes, wanted: Any) -> Any:
    """As `decode`, for unions and generic types, which `type[T]` cannot name."""
    return msgspec.json.decode(text, type=wanted)

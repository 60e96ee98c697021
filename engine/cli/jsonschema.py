"""Turns structs into JSON Schema, lengths of time included; `halon actions` and `halon schema` use it."""

import functools
import types
import typing
from typing import Any

import msgspec

from engine.clock import Duration, format_duration

DURATION = {
    "type": "string",
    "pattern": r"^([0-9]+(\.[0-9]+)?(ms|[smhd]))+$",
    "description": "a duration such as `500ms`, `30s`, `5m`, `2h`, `1d`",
}


def struct_schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a struct, with `$defs` for what it refers to; default durations are written as in files."""
    return msgspec.json.schema(_with_plain_defaults(struct), schema_hook=_schema_of_ours)


def properties(struct: type[msgspec.Struct]) -> tuple[dict[str, Any], list[str]]:
    """The schemas of a struct's keys, references resolved, and the keys that must be given."""
    schema = struct_schema(struct)
    defined = schema.get("$defs", {})
    shape = resolve(schema, defined)
    return _ecma(_inline(shape.get("properties", {}), defined)), list(shape.get("required", ()))


def resolve(spec: dict[str, Any], defined: dict[str, Any]) -> dict[str, Any]:
    """The schema that a `$ref` means, or the schema itself."""
    reference = spec.get("$ref")
    return defined[reference.rsplit("/", 1)[-1]] if reference else spec


@functools.cache
def _with_plain_defaults(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The struct, and those inside it, with default durations as texts: msgspec can't write an int of our own class."""
    return msgspec.defstruct(
        struct.__name__,
        [
            (
                each.name,
                _plain_type(each.type),
                _plain_default(each),
            )
            for each in msgspec.structs.fields(struct)
        ],
        forbid_unknown_fields=True,
        kw_only=True,
        tag=struct.__struct_config__.tag,
        tag_field=struct.__struct_config__.tag_field,
        namespace={"__doc__": struct.__doc__},
    )


def _plain_default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is msgspec.NODEFAULT:
        return msgspec.field(name=field.encode_name, default_factory=field.default_factory)
    plain = msgspec.to_builtins(field.default, enc_hook=format_duration)
    if isinstance(plain, dict | list):
        return msgspec.field(name=field.encode_name, default_factory=lambda: plain)
    return msgspec.field(name=field.encode_name, default=plain)


def _plain_type(wanted: Any) -> Any:
    """A type with every struct in it replaced by its twin with plain defaults."""
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return _with_plain_defaults(wanted)
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is None or origin is typing.Literal:
        return wanted
    if origin is typing.Annotated:
        return typing.Annotated[(_plain_type(args[0]), *args[1:])]
    inner = tuple(each if each is Ellipsis else _plain_type(each) for each in args)
    return typing.Union[inner] if origin in {typing.Union, types.UnionType} else origin[inner]  # noqa: UP007  # made of a tuple


def _schema_of_ours(wanted: type) -> dict[str, Any]:
    if issubclass(wanted, Duration):
        return dict(DURATION)  # msgspec adds the default to what it is given
    raise NotImplementedError(f"no schema for {wanted}")


def _inline(value: Any, defined: dict[str, Any]) -> Any:
    """A schema with every reference replaced by what it means; ours are not recursive."""
    if isinstance(value, dict):
        if "$ref" in value:
            return _inline({**resolve(value, defined), **{k: v for k, v in value.items() if k != "$ref"}}, defined)
        return {key: _inline(each, defined) for key, each in value.items()}
    if isinstance(value, list):
        return [_inline(each, defined) for each in value]
    return value


def _ecma(value: Any) -> Any:
    """A schema with Python's `\\Z` in patterns written as the `$` of JSON Schema, where that means the very end."""
    if isinstance(value, dict):
        return {
            key: each.replace(r"\Z", "$") if key == "pattern" and isinstance(each, str) else _ecma(each)
            for key, each in value.items()
        }
    return [_ecma(each) for each in value] if isinstance(value, list) else value

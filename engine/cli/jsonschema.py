"""Turns structs into JSON Schema, lengths of time included; `halon actions` and `halon schema` use it."""

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
    return _inline(shape.get("properties", {}), defined), list(shape.get("required", ()))


def resolve(spec: dict[str, Any], defined: dict[str, Any]) -> dict[str, Any]:
    """The schema that a `$ref` means, or the schema itself."""
    reference = spec.get("$ref")
    return defined[reference.rsplit("/", 1)[-1]] if reference else spec


def _with_plain_defaults(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The struct with its default durations as texts: msgspec can't write an int that is a class of its own."""
    fields = msgspec.structs.fields(struct)
    if not any(isinstance(each.default, Duration) for each in fields):
        return struct
    return msgspec.defstruct(
        struct.__name__,
        [
            (
                each.name,
                each.type,
                msgspec.field(  # type: ignore[call-overload]  # one of the two defaults is always unset
                    name=each.encode_name,
                    default=format_duration(each.default) if isinstance(each.default, Duration) else each.default,
                    default_factory=each.default_factory,
                ),
            )
            for each in fields
        ],
        forbid_unknown_fields=True,
        kw_only=True,
    )


def _schema_of_ours(wanted: type) -> dict[str, Any]:
    if issubclass(wanted, Duration):
        return DURATION
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

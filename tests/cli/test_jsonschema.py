"""JSON Schema of structs with lengths of time, alone and nested."""

from typing import Annotated, Literal

import pytest
from msgspec import Meta

from actions.table import load_catalogue
from engine.cli.jsonschema import DURATION, properties
from engine.clock import SECOND_US, Duration
from engine.detectors.table import DETECTORS
from engine.model import Struct


class Inner(Struct, frozen=True):
    """A table inside another."""

    every: Duration = Duration(5 * SECOND_US)
    mode: Literal["a", "b"] = "a"


class Outer(Struct, frozen=True):
    """What a table may hold."""

    name: Annotated[str, Meta(min_length=1, description="its name")]
    within: Duration = Duration(90 * SECOND_US)
    inner: Inner = Inner()
    many: dict[str, Inner] = {}
    some: tuple[Annotated[int, Meta(ge=1)], ...] | None = None


def test_keys_types_defaults_and_what_is_required_are_there():
    """Durations are texts with a pattern, their defaults as people write them; nested structs are spelt out."""
    keys, required = properties(Outer)
    assert required == ["name"]
    assert keys["name"] == {"type": "string", "minLength": 1, "description": "its name"}
    assert keys["within"] == {**DURATION, "default": "1m30s"}
    assert keys["many"]["additionalProperties"]["properties"]["every"]["default"] == "5s"
    assert keys["some"]["anyOf"][0]["items"]["minimum"] == 1


STRUCTS = {each.name: each.params for each in load_catalogue().catalogue.actions.values()}
STRUCTS |= {f"settings of {each.name}": each.settings for each in load_catalogue().catalogue.actions.values()}
STRUCTS |= {f"method {name}": each.params_type for name, each in DETECTORS.methods.items()}


@pytest.mark.parametrize("name", STRUCTS)
def test_every_action_and_detector_has_a_schema(name):
    """None of the structs in use holds a type that has no schema, and every key is described by one."""
    keys, required = properties(STRUCTS[name])
    assert set(required) <= set(keys)
    assert all(isinstance(spec, dict) for spec in keys.values())

"""`halon schema`: the JSON Schema of rule files, with which editors complete and check them."""

from typing import Any

import click
import msgspec

from actions.table import load_catalogue
from engine.action import Catalogue
from engine.cli.jsonschema import properties
from engine.cli.output import emit_pretty
from engine.detectors.contract import DetectorTable
from engine.detectors.table import DETECTORS
from engine.rulefile.shape import (
    DetectTable,
    IncidentTable,
    ListTable,
    PlaybookTable,
    RuleTable,
    SignalTable,
    StepTable,
)

_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_TEMPLATE = {"type": "string", "pattern": r"\$\{"}
"""Any parameter may be a text with `${…}`, whose value is known only when the step is decided."""


@click.command()
def schema() -> None:
    """Print the JSON Schema of rule files.

    For editors that know taplo (Even Better TOML), write it to a file and name that in the first line of a rule file:
    `#:schema ./halon.schema.json`. It knows the detectors and actions of this installation, plug-ins included.
    """
    emit_pretty(rule_schema(load_catalogue().catalogue, DETECTORS))


def rule_schema(catalogue: Catalogue, detectors: DetectorTable) -> dict[str, Any]:
    """The schema of one rule file, for the given actions and detectors."""
    phase = {"type": "array", "items": {"$ref": "#/$defs/step"}}
    signal = _table(SignalTable, {"detect": {"$ref": "#/$defs/detect"}})
    playbook = _table(PlaybookTable, dict.fromkeys(("contain", "investigate", "recover"), phase))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Halon rule file",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "signal": _by_id(signal),
            "rule": _by_id(_table(RuleTable)),
            "playbook": _by_id(playbook),
            "list": _by_id(_table(ListTable)),
            "incident": _by_id(_table(IncidentTable)),
        },
        "$defs": {
            "detect": {"oneOf": [_detect(name, each.params_type) for name, each in detectors.methods.items()]},
            "step": {"oneOf": [_step(name, each.params) for name, each in catalogue.actions.items()]},
        },
    }


def _detect(method: str, params: type[msgspec.Struct]) -> dict[str, Any]:
    keys, required = properties(params)
    return _table(DetectTable, keys, {"method": method}, required=required)


def _step(action: str, params: type[msgspec.Struct]) -> dict[str, Any]:
    keys, required = properties(params)
    return _table(StepTable, {name: _templated(spec) for name, spec in keys.items()}, {"do": action}, required=required)


def _table(
    struct: type[msgspec.Struct],
    more: dict[str, Any] | None = None,
    constant: dict[str, str] | None = None,
    *,
    required: list[str] | None = None,
) -> dict[str, Any]:
    """The schema of a table: the struct's keys, `more` ones, and `constant` values that tell it from its siblings."""
    keys, needed = properties(struct)
    fixed = {name: {"const": value} for name, value in (constant or {}).items()}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {**keys, **(more or {}), **fixed},
        "required": [*needed, *(required or [])],
    }


def _by_id(table: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "patternProperties": {_ID: table}}


def _templated(spec: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter in which every value, however deep, may also be a text with `${…}`."""
    deep = {
        key: _templated(value)
        if key in {"items", "additionalProperties"} and isinstance(value, dict)
        else [_templated(each) for each in value]
        if key == "anyOf"
        else value
        for key, value in spec.items()
    }
    return {"anyOf": [deep, _TEMPLATE]}

"""`halon schema`: the JSON Schema of rule files, with which editors complete and check them.

The schema takes every file that the loader takes. What spans tables (names, CEL, keys that must join) is the loader's
alone: `halon check` says it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import click
import msgspec

from actions.table import load_catalogue
from engine.action import Catalogue
from engine.cli.jsonschema import properties
from engine.cli.keywords import MEANINGS
from engine.cli.output import emit_pretty
from engine.detectors.contract import DetectorTable
from engine.detectors.table import DETECTORS
from engine.rulefile.playbooks import STEPS_MAX
from engine.rulefile.shape import (
    DetectTable,
    IncidentTable,
    ListTable,
    PlaybookTable,
    RuleTable,
    SignalTable,
    StepTable,
    ValueTable,
    WhenTable,
)
from engine.rulefile.signals import KEYS_MAX

_KEBAB = r"^[a-z0-9]+(-[a-z0-9]+)*$"
_SNAKE = r"^[a-z][a-z0-9_]*$"
_KEY_NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
_EVENT_TYPE = {"type": "string", "pattern": r"^[^\s*]+(\.\*)?$", "maxLength": 256}
_TEMPLATE = {"type": "string", "pattern": r"\$\{"}
"""Any parameter may be a text with `${…}`, whose value is known only when the step is decided."""
_PHASES = ("contain", "investigate", "recover")
_FORMS = ("all", "any", "sequence")


@click.command()
def schema() -> None:
    """Print the JSON Schema of rule files.

    For editors with Even Better TOML (taplo) or Tombi, which complete and check as you type: write it to a file and
    name that in the first line of a rule file: `#:schema ./halon.schema.json`. It knows the detectors and actions of
    this installation, plug-ins included.
    """
    emit_pretty(rule_schema(load_catalogue().catalogue, DETECTORS))


def rule_schema(catalogue: Catalogue, detectors: DetectorTable) -> dict[str, Any]:
    """The schema of one rule file, for the given actions and detectors."""
    methods = {name: each.params_type for name, each in detectors.methods.items()}
    actions = {name: each.params for name, each in catalogue.actions.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Halon rule file",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "signal": _by_id(_signal(methods), "what to look for in the events"),
            "rule": _by_id(_rule(), "which signals make which incident"),
            "playbook": _by_id(_playbook(), "what is done for an incident"),
            "list": _by_id(_table(ListTable, "list"), "named values for conditions", pattern=_SNAKE),
            "value": _by_id(_table(ValueTable, "value"), "a named value for conditions and parameters", pattern=_SNAKE),
            "incident": _by_id(_table(IncidentTable, "incident"), "incident types of your own"),
        },
        "$defs": {
            "detect": _chosen(DetectTable, "detect", "method", methods, templated=True),
            "step": _chosen(StepTable, "step", "do", actions, templated=True),
        },
    }


def _signal(methods: Mapping[str, type[msgspec.Struct]]) -> dict[str, Any]:
    by = {"type": "object", "maxProperties": KEYS_MAX, "additionalProperties": False}
    by["patternProperties"] = {_KEY_NAME: {"type": "string"}}
    on = {"anyOf": [_EVENT_TYPE, {"type": "array", "items": _EVENT_TYPE, "minItems": 1}]}
    watched: dict[str, Any] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {key: {"description": f"of {_listed(names)}"} for key, names in _takers(methods).items()},
    }
    more: dict[str, dict[str, Any]] = {"on": on, "by": by, "detect": {"$ref": "#/$defs/detect"}, "watched": watched}
    return _table(SignalTable, "signal", more)


def _takers(choices: Mapping[str, type[msgspec.Struct]]) -> dict[str, list[str]]:
    """Each parameter of any choice with the names of those that have it."""
    takers: dict[str, list[str]] = {}
    for name, params in choices.items():
        for key in _keys(params)[0]:
            takers.setdefault(key, []).append(name)
    return takers


def _rule() -> dict[str, Any]:
    when = _table(WhenTable, "when")
    for form in (*_FORMS, "none"):
        when["properties"][form]["minItems"] = 1
    when["oneOf"] = [{"required": [form]} for form in _FORMS]
    return _table(RuleTable, "rule", {"when": when})


def _playbook() -> dict[str, Any]:
    phase = {"type": "array", "maxItems": STEPS_MAX, "items": {"$ref": "#/$defs/step"}}
    made = _table(PlaybookTable, "playbook", dict.fromkeys(_PHASES, phase))
    made["anyOf"] = [{"required": [name]} for name in _PHASES]
    return made


def _table(struct: type[msgspec.Struct], kind: str, more: Mapping[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """The schema of a table: the struct's keys and `more` ones, each with its meaning."""
    keys, required = _keys(struct)
    told = {name: _told(spec, MEANINGS[kind][name]) for name, spec in {**keys, **(more or {})}.items()}
    return {"type": "object", "additionalProperties": False, "properties": told, "required": required}


def _chosen(
    struct: type[msgspec.Struct],
    kind: str,
    chooser: str,
    choices: Mapping[str, type[msgspec.Struct]],
    *,
    templated: bool = False,
) -> dict[str, Any]:
    """A table whose key `chooser` says which other keys it has.

    Its first part lists all keys of all choices, for completion; then each choice has its own keys, so that a mistake
    is told at the key and not at the whole table, as `oneOf` would.
    """
    own = _table(struct, kind)
    own["properties"][chooser]["enum"] = list(choices)
    takers = _takers(choices)
    parts: list[dict[str, Any]] = []
    for name, params in choices.items():
        keys, required = _keys(params)
        shapes = {key: _templated(spec) if templated else spec for key, spec in keys.items()}
        allowed = {**dict.fromkeys(own["properties"], True), **shapes}
        parts.append(
            {
                "if": {"properties": {chooser: {"const": name}}, "required": [chooser]},
                "then": {"properties": allowed, "required": required, "additionalProperties": False},
            }
        )
    listed = {key: {"description": f"of {_listed(names)}"} for key, names in takers.items()}
    everything = {
        "type": "object",
        "properties": {**listed, **own["properties"]},
        "required": own["required"],
        "additionalProperties": False,
    }
    return {"allOf": [everything, *parts]}


def _keys(struct: type[msgspec.Struct]) -> tuple[dict[str, Any], list[str]]:
    keys, required = properties(struct)
    return {name: _without_null(spec) for name, spec in keys.items()}, required


def _told(spec: dict[str, Any], meaning: str) -> dict[str, Any]:
    # Beside a `$ref` nothing else counts, in this version of JSON Schema.
    return {"allOf": [spec], "description": meaning} if "$ref" in spec else {**spec, "description": meaning}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _by_id(table: dict[str, Any], meaning: str, pattern: str = _KEBAB) -> dict[str, Any]:
    names = {"propertyNames": {"maxLength": 100}, "patternProperties": {pattern: table}}
    return {"type": "object", "description": meaning, "additionalProperties": False, **names}


def _without_null(spec: dict[str, Any]) -> dict[str, Any]:
    """A schema without `null`: TOML has none, what may be missing is left out."""
    plain = {key: value for key, value in spec.items() if not (key == "default" and value is None)}
    choices = [each for each in plain.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **{key: value for key, value in plain.items() if key != "anyOf"}}
    return {**plain, "anyOf": choices} if choices else plain


def _templated(spec: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter in which every value, however deep, may also be a text with `${…}`."""
    deep = {
        key: _templated(value)
        if key in {"items", "additionalProperties"} and isinstance(value, dict)
        else {name: _templated(each) for name, each in value.items()}
        if key == "properties"
        else [_templated(each) for each in value]
        if key == "anyOf"
        else value
        for key, value in spec.items()
        if key != "description"
    }
    described = {"description": spec["description"]} if "description" in spec else {}
    return {**described, "anyOf": [deep, _TEMPLATE]}

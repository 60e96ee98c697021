"""`halon actions`: the catalogue of actions as a table, or one action with its parameters, settings and an example."""

import inspect
from typing import Any

import click
import msgspec

from actions.table import load_catalogue
from engine.action import Action
from engine.cli.jsonschema import DURATION, properties
from engine.cli.output import emit, fields, flowing, json_text, note, say, say_whole, table
from engine.cli.setup import UsageFailure, json_option
from engine.diagnostics import suggest
from engine.model import Json, Struct


class Field(Struct, frozen=True):
    """A parameter or setting. `type` is in words; `default` is missing where the key must be given."""

    name: str
    type: str
    required: bool
    default: Json = None
    description: str = ""


class ActionView(Struct, frozen=True):
    """What `halon actions --json` prints for each action."""

    name: str
    summary: str
    target_kind: str
    reversible: bool
    privileges: str
    description: str
    parameters: tuple[Field, ...]
    settings: tuple[Field, ...]
    example: str


@click.command()
@click.argument("name", required=False)
@json_option
def actions(name: str | None, *, as_json: bool) -> None:
    """List the actions that playbooks can use, or show one with its parameters, privileges and an example.

    Third parties add actions through the entry-point group `halon.actions`.
    """
    loaded = load_catalogue()
    for problem in loaded.problems:
        note(f"warning: {problem}", "yellow")
    catalogue = loaded.catalogue
    if name is None:
        views = [view(each) for each in catalogue.actions.values()]
        if as_json:
            emit(views)
            return
        table(
            ("ACTION", "TARGET", "UNDO", "~DOES"),
            [(each.name, each.target_kind, "yes" if each.reversible else "no", each.summary) for each in views],
        )
        say(f"\n`halon actions {views[0].name}` shows one with its parameters and an example.", "dim")
        return
    found = catalogue.get(name)
    if found is None:
        hint = suggest(name, catalogue.actions) or "`halon actions` lists all"
        raise UsageFailure(f"there is no action `{name}`; {hint}")
    if as_json:
        emit(view(found))
    else:
        _show(view(found))


def view(action: type[Action[Any]]) -> ActionView:
    """An action as its class declares it."""
    description = inspect.getdoc(action) or ""
    return ActionView(
        name=action.name,
        summary=" ".join(description.split("\n\n")[0].split()),
        target_kind=action.target_kind,
        reversible=action.reversible,
        privileges=action.privileges,
        description=description,
        parameters=_fields(action.params),
        settings=_fields(action.settings),
        example=action.example,
    )


def _show(each: ActionView) -> None:
    say(each.name, "bold")
    say(f"\n{flowing(each.description)}\n")
    fields(
        [
            ("target", each.target_kind),
            ("undo", "restores the prior state; the step is leased" if each.reversible else "none: irreversible"),
            ("needs", each.privileges),
        ]
    )
    for title, rows in (
        ("Parameters of a step", each.parameters),
        (f'Settings in config.toml, table [actions."{each.name}"]', each.settings),
    ):
        if rows:
            say(f"\n{title}", "bold")
            table(
                ("NAME", "~TYPE", "DEFAULT", "~MEANS"),
                [
                    (row.name, row.type, "(required)" if row.required else json_text(row.default), row.description)
                    for row in rows
                ],
            )
    say("\nEvery step may also carry: hold (reversible ones), timeout, retries, on_failure, approve, when.", "dim")
    say("\nExample", "bold")
    say_whole(f"  contain = [{each.example}]")


def _fields(struct: type[msgspec.Struct]) -> tuple[Field, ...]:
    specs, required = properties(struct)
    return tuple(
        Field(
            name=name,
            type=_type_words(spec),
            required=name in required,
            default=spec.get("default"),
            description=_description(spec),
        )
        for name, spec in specs.items()
    )


def _description(spec: dict[str, Any]) -> str:
    """A field's description, or that of one of its alternatives."""
    for each in (spec, *spec.get("anyOf", ())):
        if "description" in each and each.get("pattern") != DURATION["pattern"]:
            return str(each["description"])
    return ""


def _type_words(spec: dict[str, Any]) -> str:
    """A JSON Schema in words: `integer 1..65535`, `list of string`, `"HUP" | "USR1"`, `duration`."""
    if "anyOf" in spec:
        words = [_type_words(each) for each in spec["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    if "enum" in spec:
        return " | ".join(json_text(each) for each in spec["enum"])
    if spec.get("pattern") == DURATION["pattern"]:
        return "duration"
    kind = str(spec.get("type", "any value"))
    if kind == "array":
        return f"list of {_type_words(spec['items'])}" if isinstance(spec.get("items"), dict) else "list"
    if kind == "object":
        value = spec.get("additionalProperties")
        return f"table of {_type_words(value)}" if isinstance(value, dict) and value else "table"
    low, high = spec.get("minimum"), spec.get("maximum")
    if low is not None or high is not None:
        return f"{kind} {'' if low is None else low}..{'' if high is None else high}"
    return kind

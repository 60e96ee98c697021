"""Writes docs/actions.md and docs/detectors.md from the classes of their tables. `make docs` runs it; tests hold them
current."""

import inspect
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from actions.table import CATALOGUE
from engine.action import Action, Settings
from engine.clock import Duration, format_duration
from engine.detectors.contract import Detector
from engine.detectors.table import DETECTORS

PAGE = Path(__file__).resolve().parent.parent / "docs/actions.md"
DETECTORS_PAGE = PAGE.with_name("detectors.md")
KINDS = ("endpoint", "training", "credential", "model", "client", "evidence", "any")
HEAD = """# Actions

<!-- Generated from the classes by `make docs`; change the docstrings and fields there. -->

Each action is one step of a playbook: `check` says what would happen and changes nothing, `apply` acts, `verify` reads
the target back, and `undo` restores the state before. A reversible action is held by a lease and undone when its last
holder lets go; an irreversible one says why. `halon actions NAME` prints the same in a terminal.

Any step also takes `hold`, `timeout`, `retries`, `on_failure`, `approve` and `when`, see docs/rules.md. Settings stand
in config.toml under `[actions."NAME"]`. A parameter or setting never holds a secret: settings whose name ends in
`_secret` name one of halond's secrets.
"""


DETECTORS_HEAD = """# Detection methods

<!-- Generated from the classes by `make docs`; change the docstrings and fields there. -->

What may stand in `detect = { method = "…", … }` of a signal, see docs/rules.md. Each method watches one key, answers
from what it has seen of it so far, and keeps no more memory than is said here. Methods that learn give no answer before
they have. Which one?

| what you have | begin with | then look at |
|---|---|---|
| a number, and no idea what is normal for it | `likelihood` | `robust-z`, `seasonal`, `spot` |
| a number that must not pass a known limit | `threshold` | `mean`, `quantile` |
| a small shift that lasts | `cusum` | `ewma`, `page-hinkley`, `adwin` |
| a number that follows the time of day | `seasonal` | `likelihood` |
| successes and failures | `bernoulli-cusum` | `ratio`, `wilson` |
| how many events there are | `surge`, `drought` | `count`, `absence` |
| confidences, classes, features | `psi` | `js`, `ks` |
| embeddings, activations, feature vectors | `mahalanobis` | `pca` |
| the queries of one client | `query-similarity` | `query-spread` |
| labels that come later | `accuracy` | |
| decisions about people | `fairness` | |
| prompts | `injection` | `pii` |
| outputs | `canary`, `pii` | `repetition` |
| a training run | `loss-spike` | `gradient-norm`, `nan` |
| files and who touches them | `hash` | `first-seen`, `egress`, `distinct` |
"""


def main() -> None:
    """Writes the pages."""
    PAGE.write_text(render(), encoding="utf-8")
    DETECTORS_PAGE.write_text(render_detectors(), encoding="utf-8")


def render_detectors() -> str:
    """The whole page of detection methods."""
    methods = [DETECTORS.methods[name] for name in sorted(DETECTORS.methods)]
    rows = (f"| [`{each.method}`](#{each.method}) | {_takes(each)} | {_paragraphs(each)[0]} |\n" for each in methods)
    table = "| method | needs | finds |\n|---|---|---|\n" + "".join(rows)
    return "\n".join([DETECTORS_HEAD, table, *map(_method, methods)])


def _takes(detector: type[Detector[Any]]) -> str:
    of = "`of` (true or false)" if detector.of_is_bool else "`of`"
    needs = ["`value`"] * detector.needs_value + [of] * detector.needs_of
    return ", ".join(needs) or "nothing"


def _method(detector: type[Detector[Any]]) -> str:
    prose, _, example = inspect.cleandoc(detector.__doc__ or "").partition("\n>>> ")
    lines = [f"## {detector.method}", "", prose.strip(), ""]
    lines += [f"* Needs: {_takes(detector)}", f"* After a finding: {'begins anew' if detector.restarts else 'goes on'}"]
    lines += [f"* Memory per key, with the defaults: {_memory(detector)}", "", *_plain_table(detector.params_type)]
    return "\n".join([*lines, "", "```python", f">>> {example}".strip(), "```", ""])


def _memory(detector: type[Detector[Any]]) -> str:
    try:
        return f"at most {detector(detector.params_type()).bytes_max():,} bytes"
    except (TypeError, ValueError):
        return "depends on the parameters that must be given"


def _plain_table(struct: type[msgspec.Struct]) -> Iterable[str]:
    rows = ["| parameter | type | default |", "|---|---|---|"]
    for field in msgspec.structs.fields(struct):
        default = "required" if field.required else _default(field)
        rows.append(f"| `{field.encode_name}` | {_type(field.type)[0]} | {default} |")
    return rows if len(rows) > 2 else ["No parameters."]


def render() -> str:
    """The whole page."""
    actions: list[type[Action[Any]]] = list(CATALOGUE.actions.values())
    parts = [HEAD, "| action | target | reversible | what it does |\n|---|---|---|---|\n" + "".join(map(_row, actions))]
    for kind in KINDS:
        found = [each for each in actions if each.target_kind == kind]
        if found:
            parts.append(f"## Target: {kind}\n")
            parts += [_section(each) for each in found]
    return "\n".join(parts)


def _row(action: type[Action[Any]]) -> str:
    link = action.name.replace(".", "")
    undo = "yes" if action.reversible else "no"
    return f"| [`{action.name}`](#{link}) | {action.target_kind} | {undo} | {_paragraphs(action)[0]} |\n"


def _section(action: type[Action[Any]]) -> str:
    first, *rest = _paragraphs(action)
    lines = [f"### {action.name}", "", first]
    for each in rest:
        lines += ["", each]
    lines += ["", f"* Reversible: {'yes' if action.reversible else 'no'}", f"* Needs: {action.privileges}", ""]
    lines += ["```toml", action.example, "```", "", *_table("parameter", action.params)]
    if msgspec.structs.fields(action.settings):
        lines += ["", f'Settings, `[actions."{action.name}"]`: {_sentence(action.settings)}', ""]
        lines += _table("setting", action.settings)
    return "\n".join(lines) + "\n"


def _table(what: str, struct: type[msgspec.Struct]) -> Iterable[str]:
    fields = msgspec.structs.fields(struct)
    if not fields:
        return ["No parameters."]
    rows = [f"| {what} | type | default | meaning |", "|---|---|---|---|"]
    for field in fields:
        kind, meta = _type(field.type)
        default = "required" if field.required else _default(field)
        rows.append(f"| `{field.name}` | {kind} | {default} | {meta} |")
    return rows


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "none"
    if isinstance(value, Duration):
        return f'`"{format_duration(value)}"`'
    text = msgspec.json.encode(value).decode()
    return f"`{text}`"


def _type(annotation: Any) -> tuple[str, str]:
    """A type for operators with its constraints, and its description."""
    if get_origin(annotation) is Annotated:
        inner, *metas = get_args(annotation)
        text, description = _type(inner)
        for meta in (each for each in metas if isinstance(each, msgspec.Meta)):
            bounds = {"≥": meta.ge, ">": meta.gt, "≤": meta.le, "<": meta.lt}
            # Equal annotations are one object: which of 0 and 0.0 it shows depends on what was imported first.
            limits = [f"{sign} {bound:.15g}" for sign, bound in bounds.items() if bound is not None]
            limits += [f"at most {meta.max_length}"] if meta.max_length is not None else []
            limits += [f"at least {meta.min_length}"] if meta.min_length is not None else []
            text += f" ({', '.join(limits)})" if limits else ""
            description = meta.description or description
        return text, description
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        return _type(next(each for each in arguments if each is not type(None)))
    if origin is Literal:
        return " or ".join(f'`"{each}"`' for each in arguments), ""
    if origin in {tuple, list}:
        return f"list of {_type(arguments[0])[0]}", ""
    if origin is dict:
        return f"table of {_type(arguments[1])[0]}", ""
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    if isinstance(annotation, type) and issubclass(annotation, Duration):
        return "duration", ""
    return names.get(annotation, "any value"), ""


def _paragraphs(described: type[Any]) -> list[str]:
    doc = inspect.cleandoc(described.__doc__ or "")
    return [" ".join(each.split()) for each in doc.split("\n\n")]


def _sentence(struct: type[Settings]) -> str:
    return " ".join(inspect.cleandoc(struct.__doc__ or "").split())


if __name__ == "__main__":
    main()

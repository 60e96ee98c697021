"""Strings with `${CEL}` parts: parsed at load into literal texts and expressions, evaluated to a step's parameters.

`${…}` holds any CEL, braces and string literals included; `$${` stands for a literal `${`. The rule loader parses,
`decide` evaluates.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

import msgspec

from engine.cel.contract import CelFault, Expression, Scope
from engine.cel.problems import CelProblem, ProblemKind
from engine.cel.values import kind_of
from engine.model import Json, Struct

TEMPLATE_CHARS_MAX = 20_000
TEMPLATE_EXPRESSIONS_MAX = 100
TEXT_CHARS_MAX = 65_536
"""A joined text may be this long; a longer one is a fault."""

Compile = Callable[[str], Expression | tuple[CelProblem, ...]]


class Template(Struct, frozen=True):
    """A string with `${CEL}` parts: literal texts and expressions in order.

    One expression and nothing else keeps the type of its value; otherwise all parts are joined as text.
    """

    source: str
    parts: tuple[str | Expression, ...]


def is_template(text: str) -> bool:
    """Whether `text` must go through `parse_template`: it has a `${`, be it an escaped one."""
    return "${" in text


def parse_template(text: str, compile: Compile) -> Template | tuple[CelProblem, ...]:  # noqa: A002  # what it does
    """The parts of `text`, each expression made by `compile`; or every problem, with offsets into `text`."""
    if len(text) > TEMPLATE_CHARS_MAX:
        message = f"the template has {len(text)} characters, at most {TEMPLATE_CHARS_MAX} are taken"
        return (CelProblem(0, 1, message, "", ProblemKind.LIMIT),)
    parts: list[str | Expression] = []
    problems: list[CelProblem] = []
    expressions = at = 0
    literal = ""
    while (dollar := text.find("${", at)) >= 0:
        if dollar > at and text[dollar - 1] == "$":
            literal += text[at : dollar - 1] + "${"
            at = dollar + 2
            continue
        literal += text[at:dollar]
        end = _closing_brace(text, dollar + 2)
        if end is None:
            problems.append(
                CelProblem(dollar, 2, "`${` is not closed", "a literal `${` is `$${`", ProblemKind.TEMPLATE)
            )
            break
        expressions += 1
        if expressions > TEMPLATE_EXPRESSIONS_MAX:
            message = f"the template has more than {TEMPLATE_EXPRESSIONS_MAX} expressions"
            problems.append(CelProblem(dollar, 2, message, "", ProblemKind.LIMIT))
            break
        made = compile(text[dollar + 2 : end])
        if isinstance(made, tuple):
            problems += [msgspec.structs.replace(each, offset=each.offset + dollar + 2) for each in made]
        else:
            parts += [literal, made] if literal else [made]
            literal = ""
        at = end + 1
    literal += text[at:]
    if problems:
        return tuple(problems)
    if literal or not parts:
        parts.append(literal)
    return Template(text, tuple(parts))


def evaluate(template: Template, scope: Scope) -> Json:
    """The value: of the expression's own type when it is the whole string, else the parts joined as text.

    A timestamp becomes RFC 3339 text, a duration seconds (`90s`). Raises CelFault where an expression does, where a
    value has no JSON (bytes, NaN, a map with keys that are not strings), and for null, a list or a map inside a text.
    """
    if len(template.parts) == 1 and not isinstance(template.parts[0], str):
        return to_json(template.parts[0].evaluate(scope))
    joined = "".join(
        part if isinstance(part, str) else _to_text(part.evaluate(scope), part.source) for part in template.parts
    )
    if len(joined) > TEXT_CHARS_MAX:
        raise CelFault(f"the text has {len(joined)} characters, at most {TEXT_CHARS_MAX} are taken")
    return joined


def to_json(value: Any) -> Json:
    """A CEL value as JSON. Raises CelFault where it has none."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float() if isfinite(value):
            return value
        case list():
            return [to_json(each) for each in value]
        case dict() if all(isinstance(name, str) for name in value):
            return {name: to_json(each) for name, each in value.items()}
        case datetime():
            return _rfc3339(value)
        case timedelta():
            return _seconds(value)
        case _:
            raise CelFault(f"{kind_of(value)} has no JSON: {value!r}"[:200])


def _to_text(value: Any, source: str) -> str:
    if value is None or isinstance(value, list | dict):
        raise CelFault(f"`{source}` is {kind_of(value)}, which can't stand inside a text")
    plain = to_json(value)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return repr(plain).removesuffix(".0") if isinstance(plain, float) else str(plain)


def _rfc3339(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat().removesuffix("+00:00")
    return (text.rstrip("0") if "." in text else text) + "Z"


def _seconds(duration: timedelta) -> str:
    micros = duration // timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    fraction = f".{micros % 1_000_000:06}".rstrip("0").rstrip(".")
    return f"{sign}{micros // 1_000_000}{fraction}s"


def _closing_brace(text: str, at: int) -> int | None:
    """Where the expression that starts at `at` ends; braces inside CEL strings and comments do not count."""
    depth = 0
    while at < len(text):
        char = text[at]
        if char in "'\"":
            at = _string_end(text, at)
            continue
        if text.startswith("//", at):
            newline = text.find("\n", at)
            at = newline if newline >= 0 else len(text)
            continue
        if char == "{":
            depth += 1
        elif char == "}":
            if depth == 0:
                return at
            depth -= 1
        at += 1
    return None


def _string_end(text: str, at: int) -> int:
    """The place after the CEL string literal whose quote stands at `at`."""
    quote = text[at] * 3 if text.startswith(text[at] * 3, at) else text[at]
    raw = text[max(0, at - 2) : at].lower().strip("b").endswith("r")
    end = at + len(quote)
    while end < len(text) and not text.startswith(quote, end):
        end += 2 if text[end] == "\\" and not raw else 1
    return min(end, len(text)) + len(quote)

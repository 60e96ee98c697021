"""Conversations with a model, as the APIs and the traces write them down, to the texts that rules look at."""

from typing import NamedTuple

from engine.intake.producers.reading import Part, known
from engine.model import Json

_OF_THE_MODEL = frozenset(("assistant", "model", "ai"))
_OF_THE_OPERATOR = frozenset(("system", "developer"))
TOOL_CALLS_MAX = 64
PARTS_MAX = 10_000


class Asked(NamedTuple):
    """What was asked, and the system prompt, which the client must not see."""

    prompt: str | None
    system_prompt: str | None


def asked(messages: Part) -> Asked:
    """The messages of a request to what is new in them: all since the model spoke last, results of tools included.

    A conversation is sent whole with each turn; what stands before has been judged when it was new.
    """
    if messages.text() is not None:
        return Asked(messages.text(), None)
    turns = messages.items()[-PARTS_MAX:]
    system = [_content(each) for each in turns if each.text("role") in _OF_THE_OPERATOR]
    latest: list[str] = []
    for turn in turns:
        role = turn.text("role")
        if role in _OF_THE_MODEL:
            latest.clear()
        elif role not in _OF_THE_OPERATOR:
            latest.append(_content(turn))
    return Asked(_joined(latest), _joined(system))


def said(messages: list[Part]) -> str | None:
    """The texts of a model's messages, one per line."""
    return _joined([_content(each) for each in messages])


def tool_calls(messages: list[Part]) -> list[dict[str, Json]]:
    """The calls of tools in a model's messages, each as `tool`, `arguments` and `id`."""
    found: list[dict[str, Json]] = []
    for turn in messages:
        found += [
            known(tool=each.name("function", "name"), arguments=each.text("function", "arguments"), id=each.name("id"))
            for each in turn.items("tool_calls")
        ]
        found += [
            known(tool=each.name("name"), arguments=_plain(each.at("arguments")), id=each.name("id"))
            for each in turn.items("parts")
            if each.at("type").value == "tool_call"
        ]
    return [each for each in found if "tool" in each][:TOOL_CALLS_MAX]


def _content(turn: Part) -> str:
    """The text of one message, whose content is a text or a list of parts of which some are texts."""
    if turn.text("content") is not None:
        return turn.text("content") or ""
    parts = [*turn.items("content"), *turn.items("parts")][:PARTS_MAX]
    texts = [each.text() or each.text("text") or _text_of(each) for each in parts]
    return "\n".join(each for each in texts if each)


def _text_of(part: Part) -> str | None:
    """The text of a part in the manner of OpenTelemetry; what is no text (images, calls) has none."""
    match part.at("type").value:
        case "text" | "input_text" | "output_text" | "tool_result":
            return part.text("content")
        case "tool_call_response":
            return _plain(part.at("result")) or _plain(part.at("response"))
        case _:
            return None


def _plain(part: Part) -> str | None:
    """A text as it is, and anything else as JSON."""
    if part.value is None or isinstance(part.value, str):
        return part.text()
    return part.json()


def _joined(texts: list[str]) -> str | None:
    return "\n".join(each for each in texts if each) or None

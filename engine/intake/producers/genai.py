"""Spans by OpenTelemetry's conventions for generative AI to events of docs/events.md.

The attributes: semantic conventions 1.37 and later (`gen_ai.provider.name`, `gen_ai.input.messages`), the names they
had before (`gen_ai.system`, `gen_ai.usage.prompt_tokens`), and those of OpenLLMetry (`gen_ai.prompt.0.content`).
"""

from collections.abc import Iterator

from engine.cloudevents import Malformed
from engine.intake.producers.chat import asked, said, tool_calls
from engine.intake.producers.contract import Message
from engine.intake.producers.reading import Part, address, digest, known, make_event, read_json, seconds_us
from engine.model import Event, Json, Struct

NANOSECONDS = 1_000_000_000
DETAIL_CHARS_MAX = 500
TURNS_MAX = 1_000
_CALLS = frozenset(("chat", "text_completion", "generate_content", "embeddings", "completion"))


class Span(Struct, frozen=True):
    """What is used of a span, however it came; ids in hex, `place` says where in the message it stood."""

    place: str
    trace: str
    span: str
    parent: str | None
    kind: str
    start_ns: int
    end_ns: int
    failed: bool
    error: str | None
    attributes: dict[str, Json]
    resource: dict[str, Json]


class _Attributes:
    """Attributes of a span, asked for by the first of several names that has a value."""

    def __init__(self, values: dict[str, Json]) -> None:
        self.parts = {name: Part(value) for name, value in values.items()}

    def first(self, *names: str) -> Part:
        for name in names:
            part = self.parts.get(name)
            if part is not None and part.value is not None:
                return part
        return Part(None)


def from_span(message: Message, span: Span) -> Iterator[Event | Malformed]:
    """The events of a span; none where it is not about a model."""
    attributes = _Attributes(span.attributes)
    operation = attributes.first("gen_ai.operation.name", "llm.request.type").text()
    model = attributes.first("gen_ai.request.model", "gen_ai.response.model").name()
    if operation == "execute_tool":
        yield _tool(message, span, attributes)
    elif operation in _CALLS or (operation is None and model is not None):
        yield from _call(message, span, attributes, model)


def _call(message: Message, span: Span, found: _Attributes, model: str | None) -> Iterator[Event | Malformed]:
    who, where = _who(span, found), _where(span)
    turns = _messages(found.first("gen_ai.input.messages"), span.attributes, "gen_ai.prompt")
    answers = _messages(found.first("gen_ai.output.messages"), span.attributes, "gen_ai.completion")
    question = asked(turns)
    system = said([Part({"parts": _json_of(found.first("gen_ai.system_instructions")).value})])
    reasons = found.first("gen_ai.response.finish_reasons").items()
    identity = digest(message.source, span.trace, span.span)
    yield make_event(
        message,
        span.place,
        id=identity,
        type="inference.response",
        source=_source(message, span),
        subject=model,
        time_us=seconds_us(span.end_ns / NANOSECONDS),
        data=known(
            id=found.first("gen_ai.response.id").name() or span.span,
            **who,
            **where,
            prompt=question.prompt,
            system_prompt=question.system_prompt or system,
            prompt_tokens=found.first("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens").integer(),
            completion_tokens=found.first("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens").integer(),
            status=_status(span, found),
            latency_ms=round((span.end_ns - span.start_ns) / 1e6, 3) if span.end_ns >= span.start_ns else None,
            output=said(answers.items()) or answers.text(),
            finish_reason=(reasons[0].name() if reasons else None)
            or found.first("gen_ai.completion.0.finish_reason").name(),
            error=(found.first("error.type").text() or span.error or "")[:DETAIL_CHARS_MAX] if span.failed else None,
            provider=found.first("gen_ai.provider.name", "gen_ai.system").name(),
            session=found.first("gen_ai.conversation.id", "session.id").name(),
            trace=span.trace,
        ),
    )
    for index, tool in enumerate(tool_calls(answers.items())):
        yield make_event(
            message,
            span.place,
            id=_tool_id(message, span, Part(tool).name("id"), f"{identity}/tool/{index}"),
            type="tool.call",
            source=_source(message, span),
            subject=model,
            time_us=seconds_us(span.end_ns / NANOSECONDS),
            data={**tool, **who, **known(session=found.first("gen_ai.conversation.id", "session.id").name())},
        )


def _tool(message: Message, span: Span, found: _Attributes) -> Event | Malformed:
    """A tool that ran; the subject is the agent or program, since the span does not know the model.

    Where it says what came of it that is worth an event of its own, though the call was told before.
    """
    result, call = _as_text(found.first("gen_ai.tool.call.result")), found.first("gen_ai.tool.call.id").name()
    return make_event(
        message,
        span.place,
        id=_tool_id(message, span, None if result else call, digest(message.source, span.trace, span.span)),
        type="tool.call",
        source=_source(message, span),
        subject=found.first("gen_ai.agent.name").name() or Part(span.resource).name("service.name"),
        time_us=seconds_us(span.end_ns / NANOSECONDS),
        data=known(
            tool=found.first("gen_ai.tool.name").name() or "unknown",
            id=call,
            arguments=_as_text(found.first("gen_ai.tool.call.arguments")),
            result=result,
            session=found.first("gen_ai.conversation.id", "session.id").name(),
            trace=span.trace,
            executed=True,
            **_who(span, found),
        ),
    )


def _tool_id(message: Message, span: Span, call: str | None, otherwise: str) -> str:
    """The same for a call that a model asked for and for the span of the tool that then ran: they are one."""
    return digest(message.source, span.trace, "tool", call) if call else otherwise


def _who(span: Span, found: _Attributes) -> dict[str, Json]:
    named = found.first("enduser.id", "user.id", "enduser.pseudo.id").name()
    service = Part(span.resource.get("service.name")).name()
    return known(
        client=named or (service if span.kind != "server" else None),
        # Not `client.address`: that comes from headers, by which a caller could have somebody else shut out
        address=address(found.first("network.peer.address").text()) if span.kind == "server" else None,
    )


def _where(span: Span) -> dict[str, Json]:
    """Which endpoint answered: known to the server alone, whose resource is then the one to act on."""
    if span.kind != "server":
        return {}
    resource = {name: Part(value) for name, value in span.resource.items()}
    none = Part(None)
    deployment, stateful = (resource.get(f"k8s.{kind}.name", none).name() for kind in ("deployment", "statefulset"))
    return known(
        endpoint=resource.get("service.name", none).name(),
        namespace=resource.get("k8s.namespace.name", none).name(),
        workload=deployment or stateful,
        workload_kind="Deployment" if deployment else "StatefulSet" if stateful else None,
        node=resource.get("k8s.node.name", none).name(),
    )


def _source(message: Message, span: Span) -> str:
    service = Part(span.resource.get("service.name")).name()
    return f"{message.source}/{service}" if service else message.source


def _status(span: Span, found: _Attributes) -> int:
    code = found.first("http.response.status_code", "error.type").integer()
    if code is not None and 100 <= code <= 599:
        return code
    return 500 if span.failed or found.first("error.type").text() else 200


def _messages(current: Part, attributes: dict[str, Json], prefix: str) -> Part:
    """The messages of an attribute, or of the attributes that older libraries number (`gen_ai.prompt.0.content`)."""
    if current.value is not None:
        return _json_of(current)
    if attributes.get(prefix) is not None:
        return _json_of(Part(attributes[prefix]))
    turns: list[Json] = []
    while len(turns) < TURNS_MAX:
        content = attributes.get(f"{prefix}.{len(turns)}.content")
        role = attributes.get(f"{prefix}.{len(turns)}.role")
        if content is None and role is None:
            break
        turns.append({"role": role, "content": content})
    return Part(turns)


def _json_of(part: Part) -> Part:
    """An attribute that is JSON in a text, as most libraries write it; or the value itself."""
    text = part.text()
    if text is None or text.lstrip()[:1] not in ("[", "{"):
        return part
    decoded = read_json(text.encode("utf-8", "replace"))
    return part if isinstance(decoded, Malformed) else decoded


def _as_text(part: Part) -> str | None:
    return part.text() if part.value is None or isinstance(part.value, str) else part.json()

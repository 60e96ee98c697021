"""OpenTelemetry traces (OTLP over HTTP) to events: calls of models and of tools by the GenAI conventions."""

import base64
import math
from collections.abc import Iterator

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.genai import Span, from_span
from engine.intake.producers.reading import Part, at_place, read_json
from engine.model import Event, Json

PROTOBUF = "application/x-protobuf"
DEPTH_MAX = 32
_ERROR = 2
_STATUS = {"STATUS_CODE_ERROR": _ERROR}
_KINDS = {2: "server", 3: "client", "SPAN_KIND_SERVER": "server", "SPAN_KIND_CLIENT": "client"}


class Otlp(Producer):
    """OpenTelemetry's OTLP over HTTP: traces, as JSON or protobuf, by the semantic conventions for generative AI.

    A span of a call (`chat`, `text_completion`, `generate_content`, `embeddings`) is one `inference.response` that
    holds the request as well, a span `execute_tool` a `tool.call`; all other spans are passed by, those of agents too,
    since their calls have spans of their own. Prompts and answers are there only if the program captures them *on the
    span* (`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only`, or the older `true` of libraries that write
    `gen_ai.prompt`); as events or logs of their own they do not come. On a server's span `endpoint` is the service; on
    a client's the service is the `client`, unless `enduser.id` or `user.id` says who it was. Where client and server
    both export, send the spans of one of them: each is a call of its own here.
    """

    name = "otlp"
    title = "OpenTelemetry (GenAI conventions)"
    types = ("inference.response", "tool.call")
    connect = """
A program with an SDK, in its environment (protobuf is the SDK's default):

```sh
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://halon.internal:8480/events/otel
OTEL_EXPORTER_OTLP_TRACES_HEADERS="authorization=Bearer%20TOKEN"
OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf
```

The Collector:

```yaml
exporters:
  otlphttp/halon:
    traces_endpoint: http://halon.internal:8480/events/otel
    headers: { authorization: "Bearer TOKEN" }
service:
  pipelines:
    traces: { receivers: [otlp], exporters: [otlphttp/halon] }
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        if message.content_type.partition(";")[0].strip().lower() == PROTOBUF:
            spans = _protobuf(message.body)
        else:
            spans = _json(message.body)
        for found in spans:
            if isinstance(found, Malformed):
                yield found
            else:
                yield from from_span(message, found)


def _json(body: bytes) -> Iterator[Span | Malformed]:
    """OTLP/JSON: ids in hex, 64-bit numbers as texts, names in camel case."""
    whole = read_json(body)
    if isinstance(whole, Malformed):
        yield whole
        return
    if not isinstance(whole.at("resourceSpans").value, list):
        yield Malformed("not an export of traces: `resourceSpans` is missing")
        return
    for at, resource in enumerate(whole.items("resourceSpans")):
        about = _attributes(resource.items("resource", "attributes"))
        for scope in resource.items("scopeSpans"):
            for index, span in enumerate(scope.items("spans")):
                place = f"resourceSpans[{at}].spans[{index}]"
                trace, own = span.name("traceId"), span.name("spanId")
                start, end = span.integer("startTimeUnixNano"), span.integer("endTimeUnixNano")
                if trace is None or own is None or start is None or end is None:
                    yield at_place(place, "`traceId`, `spanId` or a time is missing")
                    continue
                code = span.at("status", "code").value
                kind = span.at("kind").value
                yield Span(
                    place=place,
                    trace=trace.lower(),
                    span=own.lower(),
                    parent=span.name("parentSpanId"),
                    kind=_KINDS.get(kind, "") if isinstance(kind, int | str) else "",
                    start_ns=start,
                    end_ns=end,
                    failed=_ERROR in (code, _STATUS.get(code, 0) if isinstance(code, str) else 0),
                    error=span.text("status", "message"),
                    attributes=_attributes(span.items("attributes")),
                    resource=about,
                )


def _attributes(pairs: list[Part]) -> dict[str, Json]:
    return {key: _value(each.at("value")) for each in pairs if (key := each.text("key")) is not None}


def _value(value: Part, depth: int = DEPTH_MAX) -> Json:
    """An `AnyValue` of OTLP/JSON as plain JSON."""
    if depth == 0:
        return None
    for name, found in value.members().items():
        match name:
            case "stringValue" | "boolValue" | "bytesValue":
                return found.value
            case "intValue":
                return found.integer()
            case "doubleValue":
                return found.number()
            case "arrayValue":
                return [_value(each, depth - 1) for each in found.items("values")]
            case "kvlistValue":
                return {
                    key: _value(each.at("value"), depth - 1)
                    for each in found.items("values")
                    if (key := each.text("key")) is not None
                }
    return None


def _protobuf(body: bytes) -> Iterator[Span | Malformed]:
    try:
        export = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        yield Malformed(f"not an export of traces in protobuf: {error}")
        return
    for at, resource in enumerate(export.resource_spans):
        about = {each.key: _plain(each.value) for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            for index, span in enumerate(scope.spans):
                yield Span(
                    place=f"resourceSpans[{at}].spans[{index}]",
                    trace=span.trace_id.hex(),
                    span=span.span_id.hex(),
                    parent=span.parent_span_id.hex() or None,
                    kind=_KINDS.get(span.kind, ""),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    failed=span.status.code == _ERROR,
                    error=span.status.message or None,
                    attributes={each.key: _plain(each.value) for each in span.attributes},
                    resource=about,
                )


def _plain(value: AnyValue) -> Json:
    """An `AnyValue` of OTLP's protobuf as plain JSON; protobuf itself bounds how deep it goes."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value if math.isfinite(value.double_value) else None
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value":
            return [_plain(each) for each in value.array_value.values]
        case "kvlist_value":
            return {each.key: _plain(each.value) for each in value.kvlist_value.values}
        case _:
            return None

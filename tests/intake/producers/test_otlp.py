"""engine.intake.producers.otlp: JSON and protobuf, and a real SDK as the sender."""

import base64
import json

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.samples import SAMPLES, converted

PROTOBUF = "application/x-protobuf"
BODY = json.loads(SAMPLES["otlp"].body)


def in_protobuf(body):
    """The same export in protobuf, where ids are bytes."""

    def ids(value):
        match value:
            case dict():
                return {
                    name: base64.b64encode(bytes.fromhex(each)).decode()
                    if name in ("traceId", "spanId", "parentSpanId")
                    else ids(each)
                    for name, each in value.items()
                }
            case list():
                return [ids(each) for each in value]
        return value

    return ParseDict(ids(body), ExportTraceServiceRequest()).SerializeToString()


def test_protobuf_and_json_give_the_same_events():
    """Which of the two an exporter speaks is its own affair."""
    for sample in ("otlp", "otlp-openllmetry"):
        raw = in_protobuf(json.loads(SAMPLES[sample].body))
        assert converted(sample, body=raw, content_type=PROTOBUF).events == converted(sample).events


def test_bytes_that_are_no_protobuf_say_so():
    """A sender that names the wrong type is told."""
    decoded = converted("otlp", body=b"\xff\xff\xff", content_type=PROTOBUF)
    assert decoded.events == []
    assert decoded.malformed[0].reason.startswith("not an export of traces in protobuf: ")


def test_values_of_every_kind_are_read_and_deep_ones_end():
    """Lists, maps, bytes; a value nested without end is cut, not followed."""
    deep = {"stringValue": "x"}
    for _ in range(200):
        deep = {"arrayValue": {"values": [deep]}}
    body = json.loads(SAMPLES["otlp-openllmetry"].body)
    span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    kinds = {"kvlistValue": {"values": [{"key": "a", "value": {"doubleValue": 1.5}}]}}
    span["attributes"] += [{"key": "deep", "value": deep}, {"key": "kinds", "value": kinds}]
    assert len(converted("otlp", body=json.dumps(body).encode()).events) == 1


def test_one_bad_span_does_not_hide_the_others():
    """Its place is named."""
    body = json.loads(SAMPLES["otlp"].body)
    del body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"]
    decoded = converted("otlp", body=json.dumps(body).encode())
    assert len(decoded.events) == 2
    assert decoded.malformed[0].reason == "`resourceSpans[0].spans[0]`: `traceId`, `spanId` or a time is missing"


def test_an_export_without_calls_of_models_is_no_mistake():
    """A program's other spans come by the same way."""
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [BODY["resourceSpans"][0]["scopeSpans"][0]["spans"][2]]}]}]}
    decoded = converted("otlp", body=json.dumps(body).encode())
    assert (decoded.events, decoded.malformed) == ([], [])

"""Requests and responses that KServe's logger copies to `inference.request` and `inference.response` events."""

from collections.abc import Iterator
from urllib.parse import unquote

from engine.cloudevents import STRUCTURED, Malformed, decode_event
from engine.intake.producers.chat import asked, said
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.reading import (
    NAME_CHARS_MAX,
    Part,
    address,
    digest,
    known,
    make_event,
    read_json,
    rfc3339_us,
)
from engine.intake.producers.tensors import answers, questions
from engine.model import Event, Json

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
_CE = "ce-"


class Kserve(Producer):
    """KServe's inference logger (`logger` of an InferenceService): CloudEvents in binary mode over payloads of the V1,
    V2 and OpenAI protocols.

    Each row of a batch is an event, with `id` `CALL/ROW`: a query is a query however many come at once. `features` are
    the numbers of a row where there are at most 64. `label` and `confidence` come from a class or from probabilities.
    The logger copies successful answers alone, without how long they took.

    Who asked the logger knows only from headers: with `metadataHeaders: ["X-Client-Id", "X-Envoy-External-Address"]`
    the first becomes `client`, the second `address`. Let the gateway set the first, so that a caller can't, as Envoy
    does the second at the edge; `X-Forwarded-For` is not used, since a caller could have somebody else shut out by it.
    `pod_labels` and `namespace` are those by which `kubernetes.isolate` finds the pods. A caller can choose the id of a
    call (header `Ce-Id`), so the event's id also holds its time and content.
    """

    name = "kserve"
    title = "KServe inference logger"
    types = ("inference.request", "inference.response")
    trusts_headers = True
    connect = """
The logger has no field for a token, so it stands in the address, which sends it as HTTP Basic (any user name):

```yaml
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: { name: fraud }
spec:
  predictor:
    logger:
      mode: all
      url: http://kserve:TOKEN@halon.internal:8480/events/kserve
      metadataHeaders: ["X-Client-Id", "X-Envoy-External-Address"]
    model: { modelFormat: { name: sklearn }, storageUri: "s3://models/fraud" }
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        found = _attributes(message)
        if isinstance(found, Malformed):
            yield found
            return
        attributes, payload = found
        kind = attributes.get("type")
        if kind not in (REQUEST, RESPONSE):
            yield Malformed(f"`ce-type` {(kind or '')[:NAME_CHARS_MAX]!r} is not one of KServe's logger")
            return
        # Tensors may come as bytes, which say nothing here; the call was made all the same
        body = read_json(payload)
        part = Part(None) if isinstance(body, Malformed) else body
        rows = _asked(part) if kind == REQUEST else _answered(part)
        where = _where(attributes)
        call = Part(dict(attributes)).name("id") or ""
        identity = digest(
            message.source,
            call,
            attributes.get("time") or str(message.arrived_us),
            kind,
            digest(payload.decode("latin-1")),
        )
        for row, data in enumerate(rows):
            several = len(rows) > 1
            yield make_event(
                message,
                f"row {row}" if several else "",
                id=f"{identity}/{row}" if several else identity,
                type="inference.request" if kind == REQUEST else "inference.response",
                subject=Part(dict(attributes)).name("inferenceservicename"),
                time_us=rfc3339_us(attributes.get("time")),
                data={**known(id=f"{call}/{row}" if several else call), **where, **data},
            )


def _attributes(message: Message) -> tuple[dict[str, str], bytes] | Malformed:
    """The attributes of the CloudEvent, from headers or, where a broker stood between, from the body; and its data."""
    if message.content_type.partition(";")[0].strip().lower() == STRUCTURED:
        decoded = decode_event(message.body, arrived_us=message.arrived_us)
        if isinstance(decoded, Malformed) or len(decoded) != 1:
            return decoded if isinstance(decoded, Malformed) else Malformed("a batch of CloudEvents is not KServe's")
        event = decoded[0]
        raw = read_json(message.body)
        time = raw.text("time") if isinstance(raw, Part) else None
        extensions = {name: value for name, value in event.ext.items() if isinstance(value, str)}
        own = {"id": event.id, "type": event.type, **({"time": time} if time else {})}
        return {**extensions, **own}, Part(event.data).json().encode()
    given = {
        name.removeprefix(_CE): unquote(value) for name, value in message.headers.items() if name.startswith(_CE)
    } or dict(message.headers)
    if "specversion" not in given:
        return Malformed("not from KServe's logger: no `ce-` headers and no CloudEvent in the body")
    return given, message.body


def _where(attributes: dict[str, str]) -> dict[str, Json]:
    """Which endpoint, and who asked."""
    given = Part(dict(attributes))
    service = given.name("inferenceservicename")
    headers = read_json(attributes.get("metadata", "").encode("utf-8", "replace"))
    names = {} if isinstance(headers, Malformed) else {name.lower(): each for name, each in headers.members().items()}

    def first(name: str) -> str | None:
        values = names[name].items() if name in names else []
        return values[0].name() if values else None

    return known(
        client=first("x-client-id"),
        address=address(first("x-envoy-external-address")),
        endpoint=service,
        namespace=given.name("namespace"),
        pod_labels={"serving.kserve.io/inferenceservice": service} if service else None,
        component=given.name("component"),
        variant=given.name("endpoint"),
    )


def _asked(body: Part) -> list[dict[str, Json]]:
    question = asked(body.at("messages") if body.at("messages").value is not None else body.at("prompt"))
    if question.prompt or question.system_prompt:
        return [known(prompt=question.prompt, system_prompt=question.system_prompt)]
    return questions(body)


def _answered(body: Part) -> list[dict[str, Json]]:
    choices = body.items("choices")
    if choices:
        texts = said([each.at("message") for each in choices])
        plain = "\n".join(each.text("text") or "" for each in choices).strip("\n")
        return [
            {
                "status": 200,
                **known(
                    output=texts or plain,
                    finish_reason=choices[0].name("finish_reason"),
                    prompt_tokens=body.integer("usage", "prompt_tokens"),
                    completion_tokens=body.integer("usage", "completion_tokens"),
                ),
            }
        ]
    return [{"status": 200, **row} for row in answers(body)]

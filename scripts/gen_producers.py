"""Writes docs/producers.md from the classes of the producers and the samples of the tests. `make docs` runs it.

A test holds the page current; what a message becomes is what the code makes of it now.
"""

import inspect
import json
import sys
from pathlib import Path

import tomli

from engine.cloudevents import encode_event
from engine.intake.producers.contract import Message, Producer, produce
from engine.intake.producers.table import PRODUCERS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/producers.md"
SAMPLES = ROOT / "tests/intake/producers/samples"
ARRIVED_US = 1_772_452_800_000_000
LINES_MAX = 60

HEAD = """# Producers

<!-- Generated from the classes and samples by `make docs`; change the docstrings in engine/intake/producers. -->

How the programs that a site has already are made to send to Halon, and what becomes of what they send. Their messages
come in by HTTP or MQTT under a `format` of this page, and go to the rules as the types of [events.md](events.md).

```toml
[[http.senders]]                          # POST /events/gateway
name       = "gateway"
format     = "litellm"
token_file = "credential:gateway"         # `Authorization: Bearer TOKEN`, or the password of HTTP Basic
may        = { types = ["inference.*", "tool.call"] }

[[mqtt]]
topics = [{ filter = "gpu/+", format = "dcgm", may = { types = ["resource.sample"] } }]
```

* **Try it first**: `halon map litellm payload.json` prints the events that a message becomes, as JSON lines that
  `halon replay` reads; `halon map --sender gateway payload.json` tries an entry of your config with its `may`.
* **What can't be an event** is not in the way of the rest of its message: the answer is 202 with `refused` and the
  first reasons, the message becomes a dead letter (`halon deadletters list`), and can be tried again. A message of
  which nothing is of use is answered 400.
* **Ids** come from what the message says, so that a message delivered twice is one event. Where an id can be chosen by
  whoever calls (KServe's `Ce-Id`, the API server's `Audit-ID`), the event's id also holds times and content that can't:
  nobody becomes invisible by repeating an id.
* **Times** are those of the message; that of arrival where it has none.
* **Other fields** of a message are passed by, so new versions do no harm. A field that is missing is left out of the
  event. Beyond the fields of events.md there are some that only this producer knows; the examples show them.
* **Names** are cut to 256 characters, and only an IP address becomes an `address`: one that the producer saw, not one
  that a caller can write into a header. Behind a load balancer that may be the balancer's: put it under
  `guards.protected`.
* **Signatures**: `hmac_file` takes the hex HMAC-SHA256 of the body in `hmac_header` (GitHub's `sha256=…`), `signature`
  takes Standard Webhooks and, with `scheme = "mlflow"`, MLflow's; see [operations.md](operations.md#sources-that-sign).
* **Compressed bodies** are taken over HTTP: `Content-Encoding: gzip` or `deflate`, with `intake.payload_bytes_max` for
  the bytes as sent and for what they unpack to. Signatures are over the bytes as they are sent, so compress, then sign.

## Plain JSON

What is not on this page comes as `format = "json"` with a `map`: a CEL expression for each attribute of the event, over
`payload` (the decoded message) and `topic` (the levels of the MQTT topic, or `["http", SENDER]`).

| attribute | gives | left out |
|---|---|---|
| `type` | text | required |
| `subject`, `id` | text, a whole number, or null for none | no subject; an id made of source, topic, payload and time |
| `source` | text | the door and the topic or sender |
| `time` | a timestamp, RFC 3339 text, or seconds since 1970 | the time of arrival |
| `data` | anything | `payload` |
| `each` | a list: every item of it is an event, and is `payload` in the other expressions | the message is one event |

```toml
topics = [
  { filter = "sensors/+/metrics", format = "json", map = {
      type = "'resource.sample'", subject = "topic[1]", time = "double(payload.ts) / 1000.0",
      data = "{'host': topic[1], 'temperature_c': payload.temp, 'cpu': double(payload.cpu) / 100.0}" } },
]
```

Several events in one message, as Telegraf, Vector and Fluent Bit batch them, with what stands beside the list:

```toml
topics = [
  { filter = "batch/+", format = "json", map = {
      each = "payload.metrics.map(one, {'host': payload.host, 'one': one})", type = "'endpoint.health'",
      subject = "payload.host", time = "payload.one.timestamp", data = "payload.one.fields" } },
]
```

CEL does not divide a whole number by a fraction: write `double(…)` where JSON may hold either.
A message whose expression has no value is a dead letter that names the attribute. Give `time`, or an `id`: without
either, a message delivered twice is two events.
"""


def main() -> None:
    """Writes the page."""
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """The whole page."""
    rows = "".join(
        f"| [`{each.name}`](#{each.name}) | {each.title} | {', '.join(f'`{one}`' for one in each.types)} |\n"
        for each in PRODUCERS.values()
    )
    table = f"\n## All formats\n\n| format | of | events |\n|---|---|---|\n{rows}"
    return HEAD + table + "".join(f"\n{_section(each)}" for each in PRODUCERS.values())


def _section(producer: type[Producer]) -> str:
    path = SAMPLES / f"{producer.name}.toml"
    sample = tomli.loads(path.read_text(encoding="utf-8"))
    headers: dict[str, str] = sample.get("headers", {})
    message = Message(
        body=sample["body"].encode(),
        source=f"/http/{producer.name}",
        arrived_us=ARRIVED_US,
        content_type=sample["content_type"],
        headers=headers,
    )
    decoded = produce(producer, message, events_max=100)
    shown = "".join(f"{name}: {value}\n" for name, value in headers.items())
    body = sample["body"].strip()
    lines = [f"## {producer.name}", "", inspect.getdoc(producer) or "", "", producer.connect.strip(), ""]
    lines += [
        f"A message ({sample['of']}):",
        "",
        f"```{'http' if headers else _language(body)}",
        *_cut(shown + ("\n" if shown else "") + body),
    ]
    lines += ["```", "", "becomes:" if len(decoded.events) == 1 else f"becomes {len(decoded.events)} events:", ""]
    lines += ["```json", *(_pretty(encode_event(each)) for each in decoded.events), "```", ""]
    return "\n".join(lines)


def _language(body: str) -> str:
    return "json" if body.startswith(("{", "[")) else "text"


def _cut(text: str) -> list[str]:
    """The lines of a message, of a long one the first."""
    lines = text.splitlines()
    return lines if len(lines) <= LINES_MAX else [*lines[:LINES_MAX], "…"]


def _pretty(raw: bytes) -> str:
    """An event with its attributes on one line and each member of its data on a line of its own."""
    event = json.loads(raw)
    data = event.pop("data")
    head = json.dumps({name: event[name] for name in event if name != "specversion"}, ensure_ascii=False)
    members = ",\n".join(f"  {json.dumps(name)}: {json.dumps(each, ensure_ascii=False)}" for name, each in data.items())
    return f'{head[:-1]}, "data": {{\n{members}\n}}}}'


if __name__ == "__main__":
    sys.exit(main())

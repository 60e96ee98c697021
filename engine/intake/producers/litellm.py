"""Standard logging payloads of LiteLLM to `inference.response` and `tool.call` events."""

from collections.abc import Iterator

from engine.clock import SECOND_US
from engine.cloudevents import Malformed
from engine.intake.producers.chat import asked, said, tool_calls
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.reading import (
    MILLISECOND_US,
    Part,
    address,
    at_place,
    digest,
    known,
    make_event,
    read_lines,
    seconds_us,
)
from engine.model import Event, Json

REDACTED = "redacted-by-litellm"
"""What LiteLLM writes where `turn_off_message_logging` hides a text."""
DETAIL_CHARS_MAX = 500


class Litellm(Producer):
    """LiteLLM's proxy (or library): the standard logging payload of its `generic_api` callback, in all log formats.

    Each call is one `inference.response` that holds the request as well, and each tool that the model called a
    `tool.call`. `key_id` is the hash by which the proxy knows the key, which is what `gateway.block-key` blocks.
    `client` is the end user that the application names (`user` of the request), or else the key's alias: an application
    can be made to name another, its key can't; key by `key_id` where that matters. `address` is as good as what the
    proxy takes it from: `use_x_forwarded_for` believes a header that callers can make up.

    One record is 5 to 15 kB and LiteLLM sends up to 512 at once: set `DEFAULT_BATCH_SIZE`, or raise
    `intake.payload_bytes_max`.
    """

    name = "litellm"
    title = "LiteLLM"
    types = ("inference.response", "tool.call")
    connect = """
In the proxy's `config.yaml`:

```yaml
litellm_settings:
  callbacks: ["generic_api"]
```

and in its environment:

```sh
GENERIC_LOGGER_ENDPOINT=http://halon.internal:8480/events/litellm
GENERIC_LOGGER_HEADERS="Authorization=Bearer TOKEN"
DEFAULT_BATCH_SIZE=50
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        for place, found in read_lines(message.body):
            if isinstance(found, Malformed):
                yield found
            else:
                yield from _call(message, place, found)


def _call(message: Message, place: str, record: Part) -> Iterator[Event | Malformed]:
    call, status, ended = record.name("id"), record.text("status"), record.number("endTime")
    if call is None or status is None or ended is None:
        yield at_place(place, "not a logging payload of LiteLLM: `id`, `status` or `endTime` is missing")
        return
    started = record.number("startTime")
    meta = record.at("metadata")
    who: dict[str, Json] = known(
        client=record.name("end_user")
        or meta.name("user_api_key_end_user_id")
        or meta.name("user_api_key_alias")
        or meta.name("user_api_key_user_id")
        or meta.name("user_api_key_hash"),
        key_id=meta.name("user_api_key_hash"),
        address=address(record.text("requester_ip_address") or meta.text("requester_ip_address")),
    )
    model = record.name("model_group") or record.name("model")
    # The id of a call comes from the provider or the caller: with its times it is the proxy's own
    identity = digest(message.source, call, repr(started), repr(ended), status)
    choices = record.items("response", "choices")
    answers = [each.at("message") for each in choices]
    question = asked(record.at("messages"))
    yield make_event(
        message,
        place,
        id=identity,
        type="inference.response",
        subject=model,
        time_us=seconds_us(ended),
        data=known(
            id=call,
            **who,
            endpoint=record.name("model_group"),
            prompt=_shown(question.prompt),
            system_prompt=_shown(question.system_prompt),
            prompt_tokens=record.integer("prompt_tokens"),
            completion_tokens=record.integer("completion_tokens"),
            status=_status(record, status),
            latency_ms=None if started is None else round((ended - started) * SECOND_US / MILLISECOND_US, 3),
            output=_shown(said(answers) or said(choices) or record.text("response")),
            finish_reason=choices[0].name("finish_reason") if choices else None,
            error=(record.text("error_str") or "")[:DETAIL_CHARS_MAX],
            cost_usd=record.number("response_cost"),
            call_type=record.name("call_type"),
            trace=record.name("trace_id"),
            team=meta.name("user_api_key_team_id"),
        ),
    )
    for index, tool in enumerate(tool_calls(answers)):
        yield make_event(
            message,
            place,
            id=f"{identity}/tool/{index}",
            type="tool.call",
            subject=model,
            time_us=seconds_us(ended),
            data={**tool, **who, **known(session=record.name("trace_id"))},
        )


def _status(record: Part, status: str) -> int:
    if status == "success":
        return 200
    code = record.integer("error_information", "error_code")
    return code if code is not None and 100 <= code <= 599 else 500


def _shown(text: str | None) -> str | None:
    return None if text is None or text.strip() == REDACTED else text

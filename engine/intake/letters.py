"""What could not become events, a message or parts of it, to dead letters. Doors and `engine.intake.formats` ask."""

from collections.abc import Sequence

import msgspec

from engine.cloudevents import Malformed
from engine.intake.contract import DEADLETTER_PAYLOAD_BYTES_MAX, DeadLetter, Received

LETTERS_PER_MESSAGE_MAX = 10
"""A batch with more bad events than this gives this many letters, the last of which counts the rest."""
REASONS_MAX = 3
"""So many reasons stand in the letter of a message of which only parts were bad; the rest are counted."""
_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def letter(received: Received, reason: str, payload: bytes | None = None) -> DeadLetter:
    """A message, or one event of it with its own `payload`, and why it is no event."""
    whole = received.payload if payload is None else payload
    return DeadLetter(
        door=received.door,
        topic=received.topic,
        reason=reason,
        received_us=received.received_us,
        size_bytes=received.size_bytes if payload is None else len(payload),
        payload=whole[:DEADLETTER_PAYLOAD_BYTES_MAX],
        # One event of a batch is whole by itself: what came beside the batch is not about it.
        content_type=received.content_type if payload is None else "",
        properties=received.properties if payload is None else (),
        retained=received.retained,
        proved=received.proved,
    )


def batch_letters(received: Received, malformed: Sequence[Malformed]) -> list[DeadLetter]:
    """A dead letter per bad event of a CloudEvents batch, with that event as its payload; bounded."""
    if malformed[0].index is None:
        return [letter(received, malformed[0].reason)]
    events = _RAW_LIST.decode(received.payload)
    letters = []
    for each in malformed[:LETTERS_PER_MESSAGE_MAX]:
        assert each.index is not None, "the events of a batch have their places"
        reason = f"event {each.index} of the batch: {each.reason}"
        letters.append(letter(received, reason, bytes(events[each.index])))
    rest = len(malformed) - LETTERS_PER_MESSAGE_MAX
    if rest > 0:
        letters[-1] = msgspec.structs.replace(
            letters[-1], reason=f"{letters[-1].reason} (and {rest} more of this batch)"
        )
    return letters


def joined_reasons(malformed: Sequence[Malformed]) -> str:
    """The first reasons in one sentence, and how many more there are."""
    rest = len(malformed) - REASONS_MAX
    more = f"; and {rest} more" if rest > 0 else ""
    return "; ".join(each.reason for each in malformed[:REASONS_MAX]) + more

"""Who may say what: an event of a source that says more than its config allows, to one that tells of it.

What a source may not say is dropped as if it had never come: no rule sees it, and it takes no place among the ids that
are known. In its stead comes a `halon.source.violation`, under an id made from the event's, so that a second delivery
is a duplicate. `engine.intake.formats` asks for topics, `engine.intake.http` for senders.
"""

from hashlib import blake2b

import msgspec

from engine.config import MayConfig
from engine.model import Event

VIOLATION = "halon.source.violation"
"""Nobody may say this but the daemon itself: a rule that acts on it could else be turned against anyone."""
SOURCE = "/halon/intake"
TEXT_CHARS_MAX = 200


def objection(event: Event, may: MayConfig) -> str:
    """Why a source that may say `may` may not say this; empty where it may."""
    if event.type == VIOLATION:
        return f"the type `{VIOLATION}` is Halon's own"
    if may.types and not any(_covers(each, event.type) for each in may.types):
        return f"the type `{event.type[:TEXT_CHARS_MAX]}` is not among `may.types`"
    if may.sources and not any(event.source.startswith(each) for each in may.sources):
        return f"the source `{event.source[:TEXT_CHARS_MAX]}` begins with none of `may.sources`"
    return ""


def violation(event: Event, reason: str, *, door: str, entry: str, topic: str, arrived_us: int) -> Event:
    """What rules see instead; its subject is `DOOR/ENTRY`, the entry of the config that it spoke under.

    Not the topic: whoever makes up topics could else make up incidents without end.
    """
    identity = msgspec.json.encode((door, topic, event.source, event.id))
    return Event(
        id=f"violation-{blake2b(identity, digest_size=16).hexdigest()}",
        source=SOURCE,
        type=VIOLATION,
        time_us=arrived_us,
        subject=f"{door}/{entry}"[:TEXT_CHARS_MAX],
        data={
            "door": door,
            "topic": topic[:TEXT_CHARS_MAX],
            "type": event.type[:TEXT_CHARS_MAX],
            "source": event.source[:TEXT_CHARS_MAX],
            "id": event.id[:TEXT_CHARS_MAX],
            "reason": reason,
        },
    )


def _covers(allowed: str, event_type: str) -> bool:
    """`training.*` covers all types that begin with `training.`; anything else itself."""
    return event_type.startswith(allowed[:-1]) if allowed.endswith(".*") else event_type == allowed

"""The `signature` of a topic or sender in the config to what is asked of each of its messages.

`ProvenFormats` stands before `engine.intake.formats` for topics, `engine.intake.http` asks for senders. What is not
proved becomes a `halon.source.violation`; whether a signing came before tells the pipeline, which remembers ids.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

import msgspec

from engine.config import Config, IntakeConfig, SignatureConfig, TopicConfig
from engine.intake.contract import DeadLetter, Once, Received
from engine.intake.letters import letter
from engine.intake.permits import SOURCE, TEXT_CHARS_MAX, VIOLATION
from engine.intake.secretfile import read_secret
from engine.intake.signatures import (
    MLFLOW,
    SIGNATURE,
    STANDARD,
    Enveloped,
    Key,
    Proved,
    Unproved,
    open_envelope,
    prove,
    read_key,
    read_mlflow_key,
)
from engine.intake.topics import matches
from engine.model import Event

REPLAYED = Unproved("replayed", "this very message, as it was signed then, came before")
BINARY = Unproved("unsigned", "binary mode can't be signed: the attributes stand beside what the signature covers")


class Proof:
    """The keys of one topic or sender. Raises ValueError or OSError where one can't be read."""

    def __init__(self, config: SignatureConfig, intake: IntakeConfig) -> None:
        self._mlflow = config.scheme == "mlflow"
        self._keys = [_key(each, mlflow=self._mlflow) for each in config.key_files]
        self._ahead_us = min(intake.future_max, intake.dedup_horizon // 4)
        # Ids are remembered by arrival: what was signed ahead of our time has to be forgotten later.
        self._behind_us = intake.dedup_horizon - self._ahead_us

    def judge(self, beside: Mapping[str, str], payload: bytes, *, now_us: int | None) -> Proved | Unproved:
        """Whether the payload is proved and fresh; without `now_us` its age is not judged."""
        found = prove(self._keys, beside, payload, names=MLFLOW if self._mlflow else STANDARD)
        if isinstance(found, Unproved) or now_us is None:
            return found
        # Judged last: who can't sign learns nothing of our clock.
        if found.signed_us > now_us + self._ahead_us:
            return Unproved("stale", "it was signed in the future; a clock is wrong")
        if found.signed_us < now_us - self._behind_us:
            return Unproved("stale", "it was signed longer ago than ids are remembered (`intake.dedup_horizon`)")
        return found


class Formats(Protocol):
    """`engine.intake.formats`: a message to what it holds."""

    def decode(self, received: Received) -> Sequence[Event | DeadLetter | Once]:
        """Never raises for bad input."""
        ...


class ProvenFormats:
    """Messages of topics that ask for a signature to what they hold, once they are proved; others pass as they are."""

    def __init__(self, formats: Formats, config: Config) -> None:
        self._formats = formats
        self._bytes_max = config.intake.payload_bytes_max
        self._entries: dict[str, list[tuple[TopicConfig, Proof | None]]] = {
            broker.name: [
                (each, None if each.signature is None else Proof(each.signature, config.intake))
                for each in broker.topics
            ]
            for broker in config.mqtt
            if any(each.signature is not None for each in broker.topics)
        }

    def decode(self, received: Received) -> Sequence[Event | DeadLetter | Once]:
        """A `Once` first, where the message is proved; never raises for bad input."""
        entries = self._entries.get(received.door)
        if entries is None or received.events is not None or received.proved or received.problem:
            return self._formats.decode(received)
        topic, proof = next((each for each in entries if matches(each[0].filter, received.topic)), (None, None))
        if topic is None or proof is None or received.size_bytes > self._bytes_max:
            return self._formats.decode(received)
        beside = {name.lower(): value for name, value in received.properties}
        opened = Enveloped(received.payload, beside) if SIGNATURE in beside else open_envelope(received.payload)
        if isinstance(opened, Unproved):
            return self._refused(received, topic, opened)
        found = proof.judge(opened.beside, opened.payload, now_us=None if received.retried else received.received_us)
        if "specversion" in beside and not received.content_type.startswith("application/cloudevents"):
            found = BINARY
        if isinstance(found, Unproved):
            return self._refused(received, topic, found)
        bare = msgspec.structs.replace(
            received,
            payload=opened.payload,
            size_bytes=len(opened.payload),
            content_type="",
            properties=(),
            proved=True,
        )
        held = self._formats.decode(bare)
        return held if received.retried else [_once(found, received, topic), *held]

    def _refused(self, received: Received, topic: TopicConfig, why: Unproved) -> list[Event | DeadLetter]:
        """Kept as a dead letter, which can be tried again once the key or the clock is right, and told to the rules."""
        kept = letter(received, why.reason)
        return [kept] if received.retried else [kept, _violation(why, received, topic, received.payload)]


def _once(proved: Proved, received: Received, topic: TopicConfig) -> Once:
    """What makes it count once; a broker that delivers again what it was not thanked for is no replay."""
    otherwise = (
        () if received.redelivered or received.retained else (_violation(REPLAYED, received, topic, proved.identity),)
    )
    return Once(identity=proved.identity, signed_us=proved.signed_us, otherwise=otherwise)


def _violation(why: Unproved, received: Received, topic: TopicConfig, about: bytes) -> Event:
    return violation_of(
        why,
        about,
        door=received.door,
        entry=topic.filter,
        topic=received.topic,
        arrived_us=received.received_us,
    )


def violation_of(why: Unproved, about: bytes, *, door: str, entry: str, topic: str, arrived_us: int) -> Event:
    """What rules see: where it came in and why it is not believed, and nothing of what it says.

    `about` tells messages apart: the second violation about the same is a duplicate.
    """
    identity = msgspec.json.encode((door, topic, why.cause, blake2b(about, digest_size=16).hexdigest()))
    return Event(
        id=f"violation-{blake2b(identity, digest_size=16).hexdigest()}",
        source=SOURCE,
        type=VIOLATION,
        time_us=arrived_us,
        subject=f"{door}/{entry}"[:TEXT_CHARS_MAX],
        data={
            "door": door,
            "topic": topic[:TEXT_CHARS_MAX],
            "type": "",
            "source": "",
            "id": "",
            "cause": why.cause,
            "reason": why.reason,
        },
    )


def _key(written: str, *, mlflow: bool) -> Key:
    try:
        return read_mlflow_key(read_secret(written)) if mlflow else read_key(read_secret(written))
    except ValueError as error:
        raise ValueError(f"the key `{written}`: {error}") from error

"""Signed messages to proof of who made them, or to why there is none: the Standard Webhooks scheme, for every door.

What is signed is `ID.SECONDS.PAYLOAD`, the payload's bytes as they come; id, time and signatures stand beside it as
`webhook-id`, `webhook-timestamp` and `webhook-signature` (https://www.standardwebhooks.com): in HTTP headers, in user
properties of MQTT 5, or, over MQTT 3.1.1 which has none, around the payload in an envelope of JSON. `v1` is HMAC-SHA256
under a key `whsec_…`, `v1a` is Ed25519 under a public key `whpk_…`. Several keys may be known, and several signatures
given, while one key takes the place of another.

MLflow signs its webhooks in the same way under header names of its own, with the secret's text as the key.

Of freshness and repetition `engine.intake.proof` knows, which asks for topics and senders.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec

from engine.clock import SECOND_US
from engine.model import Struct

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
STANDARD = (ID, TIMESTAMP, SIGNATURE)
MLFLOW = ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature")
SIGNATURES_MAX = 8
KEY_BYTES_MIN = 24
"""As the specification has it: a shorter secret can be guessed."""
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_ID = re.compile(r"[!-~]{1,256}", re.ASCII)


class Proved(Struct, frozen=True):
    """Somebody who has the key made it; `identity` is of this signing alone: it must not come a second time."""

    identity: bytes
    signed_us: int


class Unproved(Struct, frozen=True):
    """It is not shown who made it; `cause` is one word for rules and metrics, `reason` a sentence."""

    cause: str
    reason: str


class Enveloped(Struct, frozen=True):
    """A payload and what proves it, out of its envelope."""

    payload: bytes
    beside: dict[str, str]


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an envelope looks like; `payload` is text, and its bytes in UTF-8 are what is signed."""

    id: Annotated[str, msgspec.Meta(max_length=256)] = msgspec.field(name=ID)
    timestamp: str | int = msgspec.field(name=TIMESTAMP)
    signature: str = msgspec.field(name=SIGNATURE)
    payload: str = ""


_ENVELOPE = msgspec.json.Decoder(_Envelope)


class Key:
    """One key that is known; `verify` says whether a signature of its kind is right."""

    def __init__(self, version: str, verify: Callable[[bytes, bytes], bool], fingerprint: bytes) -> None:
        self.version = version
        self.verify = verify
        self.fingerprint = fingerprint


def read_key(text: str) -> Key:
    """`whsec_…` (HMAC-SHA256) or `whpk_…` (Ed25519, public) to a key. Raises ValueError, which never shows the text."""
    prefix, _, encoded = text.strip().partition("_")
    if prefix not in {"whsec", "whpk"}:
        hint = "; `whsk_` is the secret half, which stays with the sender" if prefix == "whsk" else ""
        raise ValueError(f"a key begins with `whsec_` (HMAC) or `whpk_` (Ed25519, public){hint}")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)  # some leave the padding out
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows `{prefix}_` is not base64") from None
    fingerprint = hashlib.blake2b(raw, digest_size=8).digest()
    if prefix == "whpk":
        return Key("v1a", _ed25519(raw), fingerprint)
    if len(raw) < KEY_BYTES_MIN:
        raise ValueError(f"the secret has {len(raw)} bytes; at least {KEY_BYTES_MIN} are needed")
    return Key("v1", lambda signature, signed: hmac.compare_digest(signature, _hmac(raw, signed)), fingerprint)


def read_mlflow_key(text: str) -> Key:
    """The secret of an MLflow webhook to a key. Raises ValueError, which never shows the text."""
    raw = text.strip().encode()
    if len(raw) < KEY_BYTES_MIN:
        raise ValueError(f"the secret has {len(raw)} bytes; at least {KEY_BYTES_MIN} are needed")
    fingerprint = hashlib.blake2b(raw, digest_size=8).digest()
    return Key("v1", lambda signature, signed: hmac.compare_digest(signature, _hmac(raw, signed)), fingerprint)


def prove(
    keys: Sequence[Key], beside: Mapping[str, str], payload: bytes, *, names: tuple[str, str, str] = STANDARD
) -> Proved | Unproved:
    """Whether one of the keys has signed the payload, at any time; `beside` finds names in small letters.

    `names` are those of the id, the time and the signatures.
    """
    message_id, seconds, given = (beside.get(each, "") for each in names)
    if not message_id or not seconds or not given:
        missing = next(name for name in names if not beside.get(name))
        return Unproved("unsigned", f"`{missing}` is missing")
    if not _ID.fullmatch(message_id) or not _SECONDS.fullmatch(seconds):
        return Unproved("unsigned", f"`{names[0]}` or `{names[1]}` is not what it should be")
    signed = b".".join((message_id.encode(), seconds.encode(), payload))
    for signature in given.split(" ")[:SIGNATURES_MAX]:
        version, _, encoded = signature.partition(",")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue
        for key in keys:
            if key.version == version and key.verify(raw, signed):
                # The time belongs to it: who tries again signs again, and its events are duplicates by their own ids.
                about = key.fingerprint + f"{message_id}.{seconds}".encode()
                return Proved(hashlib.blake2b(about, digest_size=16).digest(), int(seconds) * SECOND_US)
    return Unproved("wrong-signature", f"no signature in `{names[2]}` is right under a key that is known here")


def open_envelope(raw: bytes) -> Enveloped | Unproved:
    """The payload of an envelope, and what stands beside it."""
    try:
        found = _ENVELOPE.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Unproved("unsigned", f"neither user properties nor an envelope with `{SIGNATURE}`: {error}")
    beside = {ID: found.id, TIMESTAMP: str(found.timestamp), SIGNATURE: found.signature}
    return Enveloped(found.payload.encode("utf-8", "surrogatepass"), beside)


def _hmac(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _ed25519(raw: bytes) -> Callable[[bytes, bytes], bool]:
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    except ImportError:
        raise ValueError("Ed25519 keys need the extra `signatures`: pip install 'halon[signatures]'") from None
    try:
        public = Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise ValueError(f"it is no Ed25519 key: {error}") from None

    def verify(signature: bytes, signed: bytes) -> bool:
        try:
            public.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verify

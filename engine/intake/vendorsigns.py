"""Signatures of programs that sign in a way of their own: the headers of a request and its body to a reason against it.

Both schemes sign the id of the delivery, the time and the body, as the Standard Webhooks specification has it
(https://www.standardwebhooks.com): `v1,` and the base64 of HMAC-SHA256 over `ID.SECONDS.BODY`. MLflow has header names
of its own. A request that is older than `AGE_S_MAX` is refused; one that is sent again within that time is the same
request, and its events are duplicates by their ids. `engine.intake.senders` asks.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Literal

from engine.model import Struct

AGE_S_MAX = 300
"""How far the time of a signed request may be from ours, in either direction."""
SIGNATURES_MAX = 16
_SECRET_PREFIX = "whsec_"  # noqa: S105  # the mark of a secret, not one
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)

Scheme = Literal["mlflow", "standard-webhooks"]


class _Headers(Struct, frozen=True):
    id: str
    seconds: str
    signature: str


_HEADERS: dict[Scheme, _Headers] = {
    "mlflow": _Headers("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"),
    "standard-webhooks": _Headers("webhook-id", "webhook-timestamp", "webhook-signature"),
}


def scheme_key(scheme: Scheme, secret: str) -> bytes:
    """The key that a secret stands for. Raises ValueError where it is none of the scheme's."""
    if scheme == "mlflow" or not secret.startswith(_SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"what follows `{_SECRET_PREFIX}` in the secret is not base64: {error}") from None


def signature_problem(scheme: Scheme, key: bytes, headers: Mapping[str, str], body: bytes, *, now_s: float) -> str:
    """Why the headers do not prove the body; empty where they do. `headers` finds names in small letters."""
    names = _HEADERS[scheme]
    delivery, seconds, given = (headers.get(each, "") for each in (names.id, names.seconds, names.signature))
    if not delivery or not _SECONDS.fullmatch(seconds):
        return f"`{names.id}` or `{names.seconds}` is missing or wrong"
    signed = b".".join((delivery.encode("utf-8", "surrogateescape"), seconds.encode(), body))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    versions = [each.partition(",") for each in given.split(" ")[:SIGNATURES_MAX]]
    # Several may stand there while a secret is changed for another
    known = [
        hmac.compare_digest(text.encode("utf-8", "surrogateescape"), wanted)
        for version, _, text in versions
        if version == "v1"
    ]
    if not any(known):
        return f"the signature in `{names.signature}` is missing or wrong"
    # Judged last: who can't sign learns nothing of our clock
    if abs(now_s - int(seconds)) > AGE_S_MAX:
        return f"the request was signed more than {AGE_S_MAX} s from now: it is old, or a clock is wrong"
    return ""

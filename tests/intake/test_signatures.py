"""engine.intake.signatures: what others sign is proved, what nobody signed is not; held to the scheme's own library."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from engine.intake.signatures import (
    ID,
    MLFLOW,
    SIGNATURE,
    TIMESTAMP,
    Enveloped,
    Proved,
    Unproved,
    open_envelope,
    prove,
    read_key,
    read_mlflow_key,
)

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
NOW_S = 1_800_000_000


def signed(payload, secret=SECRET, message_id="msg_1", now_s=NOW_S):
    """What the library of the scheme puts beside a payload."""
    signature = Webhook(secret).sign(message_id, datetime.fromtimestamp(now_s, UTC), payload.decode())
    return {ID: message_id, TIMESTAMP: str(now_s), SIGNATURE: signature}


def signed_ed25519(payload):
    raw = PRIVATE.sign(f"msg_1.{NOW_S}.".encode() + payload)
    return {ID: "msg_1", TIMESTAMP: str(NOW_S), SIGNATURE: f"v1a,{base64.b64encode(raw).decode()}"}


@given(st.text().map(str.encode), st.integers(0, 10**10))
def test_what_the_schemes_own_library_signs_is_proved(payload, now_s):
    """Any payload, any time."""
    found = prove([read_key(SECRET)], signed(payload, now_s=now_s), payload)
    assert isinstance(found, Proved)
    assert found.signed_us == now_s * 1_000_000


def test_a_request_that_mlflow_itself_signed_is_proved():
    """Recorded from the delivery code of MLflow 3.17.2: the same scheme under names of its own, a secret as it is."""
    body = (
        b'{"entity": "model_version_alias", "action": "created", "timestamp": "2026-11-26T20:27:48.643639+00:00",'
        b' "data": {"name": "llm-a", "alias": "prod", "version": "7"}}'
    )
    beside = {
        "x-mlflow-delivery-id": "a6cce6d0-6e43-4481-8431-5980a7a9d488",
        "x-mlflow-timestamp": "1795724868",
        "x-mlflow-signature": "v1,91uQrnG67H4LPjU8s1+P5tW6vWlmsdvAnAQe7f3X8FA=",
    }
    key = read_mlflow_key("a-secret-of-more-than-24-chars\n")
    assert isinstance(prove([key], beside, body, names=MLFLOW), Proved)
    assert prove([key], beside, body + b" ", names=MLFLOW) == Unproved(
        "wrong-signature", "no signature in `x-mlflow-signature` is right under a key that is known here"
    )
    assert prove([key], {}, body, names=MLFLOW) == Unproved("unsigned", "`x-mlflow-delivery-id` is missing")
    assert isinstance(prove([key], beside, body), Unproved)
    with pytest.raises(ValueError, match="at least 24"):
        read_mlflow_key("s3cret")


def test_the_published_example_of_the_scheme_is_proved():
    """The test vector of the specification's own repository."""
    beside = {
        ID: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        TIMESTAMP: "1614265330",
        SIGNATURE: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    key = read_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert isinstance(prove([key], beside, b'{"test": 2432232314}'), Proved)


def test_ed25519_is_proved_by_the_public_key_alone():
    """And by no other, and no HMAC passes for it."""
    payload = b"{}"
    assert isinstance(prove([read_key(PUBLIC)], signed_ed25519(payload), payload), Proved)
    assert isinstance(prove([read_key(PUBLIC)], signed_ed25519(payload), b"{ }"), Unproved)
    public = base64.b64decode(PUBLIC.removeprefix("whpk_"))
    forged = base64.b64encode(hmac.new(public, f"msg_1.{NOW_S}.{{}}".encode(), hashlib.sha256).digest()).decode()
    for version in ("v1", "v1a"):
        beside = {ID: "msg_1", TIMESTAMP: str(NOW_S), SIGNATURE: f"{version},{forged}"}
        assert isinstance(prove([read_key(PUBLIC)], beside, payload), Unproved), "a public key is no shared secret"


def test_two_keys_are_known_while_one_takes_the_place_of_the_other():
    """A message under either is proved; so is one that carries both signatures, whichever is known."""
    payload = b"{}"
    both = [read_key(SECRET), read_key(OTHER)]
    for secret in (SECRET, OTHER):
        assert isinstance(prove(both, signed(payload, secret), payload), Proved)
    two = signed(payload)
    two[SIGNATURE] += " " + signed(payload, OTHER)[SIGNATURE]
    for known in ([read_key(SECRET)], [read_key(OTHER)]):
        assert isinstance(prove(known, two, payload), Proved)
    assert isinstance(prove([read_key(OTHER)], signed(payload), payload), Unproved)


def test_each_signing_has_an_identity_of_its_own():
    """Who sends again signs again and has another one; a copy has the same, wherever it comes in."""
    payload, keys = b"{}", [read_key(SECRET)]
    first = prove(keys, signed(payload), payload)
    assert prove(keys, signed(payload), payload) == first
    others = [
        prove(keys, signed(payload, now_s=NOW_S + 1), payload),
        prove(keys, signed(payload, message_id="msg_2"), payload),
        prove([read_key(OTHER)], signed(payload, OTHER), payload),
    ]
    assert len({each.identity for each in [first, *others]}) == 4


GOOD = signed(b"{}")


@pytest.mark.parametrize(
    ("change", "cause", "says"),
    [
        ({ID: ""}, "unsigned", "`webhook-id` is missing"),
        ({TIMESTAMP: ""}, "unsigned", "`webhook-timestamp` is missing"),
        ({SIGNATURE: ""}, "unsigned", "`webhook-signature` is missing"),
        ({TIMESTAMP: "soon"}, "unsigned", "not what it should be"),
        ({TIMESTAMP: "-5"}, "unsigned", "not what it should be"),
        ({TIMESTAMP: "9" * 40}, "unsigned", "not what it should be"),
        ({ID: "a b"}, "unsigned", "not what it should be"),
        ({ID: "x" * 257}, "unsigned", "not what it should be"),
        ({ID: "msg_2"}, "wrong-signature", "no signature"),
        ({TIMESTAMP: str(NOW_S + 1)}, "wrong-signature", "no signature"),
        ({SIGNATURE: "v1"}, "wrong-signature", "no signature"),
        ({SIGNATURE: "v1,%%%"}, "wrong-signature", "no signature"),
        ({SIGNATURE: "v1, v1a, ,"}, "wrong-signature", "no signature"),
        ({SIGNATURE: "v2," + GOOD[SIGNATURE][3:]}, "wrong-signature", "no signature"),
        ({SIGNATURE: ("v1,AAAA " * 8) + GOOD[SIGNATURE]}, "wrong-signature", "no signature"),
        ({SIGNATURE: "v1,\udcff"}, "wrong-signature", "no signature"),
    ],
)
def test_what_is_not_signed_says_why(change, cause, says):
    """One word for rules and metrics, and a sentence."""
    found = prove([read_key(SECRET), read_key(PUBLIC)], {**GOOD, **change}, b"{}")
    assert isinstance(found, Unproved)
    assert found.cause == cause
    assert says in found.reason


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with"),
        ("secret", "begins with"),
        ("whsk_" + "A" * 44, "stays with the sender"),
        ("whsec_%%%%", "not base64"),
        ("whsec_" + base64.b64encode(b"short").decode(), "at least 24"),
        ("whpk_" + base64.b64encode(b"short").decode(), "no Ed25519 key"),
    ],
)
def test_a_key_that_is_none_is_refused_without_being_shown(text, says):
    """The message says what a key looks like, and holds nothing of the secret."""
    with pytest.raises(ValueError, match=says) as refused:
        read_key(text)
    assert len(text) < 10 or text.partition("_")[2] not in str(refused.value)


def test_an_envelope_holds_the_payload_and_what_proves_it():
    """The bytes that were signed are those of the text inside, whatever escapes its JSON uses."""
    payload = json.dumps({"a": 'ä\n"\\😀'}, ensure_ascii=False).encode()
    beside = signed(payload)
    for escaped in (True, False):
        raw = json.dumps({**beside, "payload": payload.decode()}, ensure_ascii=escaped).encode()
        opened = open_envelope(raw)
        assert opened == Enveloped(payload, beside)
        assert isinstance(prove([read_key(SECRET)], opened.beside, opened.payload), Proved)


@given(st.binary())
def test_what_is_no_envelope_is_unsigned(raw):
    """Nothing raises for bad input."""
    assert isinstance(open_envelope(raw), Unproved)

"""`halon sign`: keys for sources that sign their messages, and messages signed by hand or from a script."""

import base64
import hashlib
import hmac
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from engine.cli.output import emit, say
from engine.cli.setup import Failure, ToldGroup, json_option
from engine.clock import SECOND_US, SystemClock
from engine.intake.signatures import ID, SIGNATURE, TIMESTAMP

SECRET_BYTES = 32
NO_LIBRARY = "Ed25519 keys need the extra `signatures`: pip install 'halon[signatures]'"


@click.group(cls=ToldGroup)
def sign() -> None:
    """Make keys for sources, and sign messages, in the scheme of Standard Webhooks."""


@sign.command()
@click.argument("kind", type=click.Choice(["hmac", "ed25519"]))
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def key(kind: str, path: Path) -> None:
    """Make a key: FILE is what the source signs with; nobody else may read it.

    An hmac key is one secret that both sides hold: give FILE to the source and to Halon. Of an ed25519 key Halon gets
    FILE.pub alone, which is no secret.
    """
    if kind == "hmac":
        _write(path, f"whsec_{_text(secrets.token_bytes(SECRET_BYTES))}", mode=0o600)
        say(f"{path}: for the source and, as one of `key_files`, for Halon")
        return
    private, public = _new_ed25519()
    _write(path, f"whsk_{_text(private)}", mode=0o600)
    _write(path.with_name(path.name + ".pub"), f"whpk_{_text(public)}", mode=0o644)
    say(f"{path}: for the source\n{path}.pub: for Halon, as one of `key_files`")


@sign.command()
@click.argument("payload", metavar="[FILE|-]", default="-", type=click.File("rb"))
@click.option("--key", "key_path", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--id", "message_id", help="Of this message; a new one by default. Who tries again keeps it.")
@click.option("--envelope", is_flag=True, help="Print the message in an envelope, for MQTT 3.1.1.")
@json_option
def message(payload: Any, key_path: Path, message_id: str | None, *, envelope: bool, as_json: bool) -> None:
    """Sign a message: print the three headers (or MQTT 5 user properties) that go beside it.

    \b
    halon sign message --key agents.key event.json > headers
    curl -H @headers -H 'Content-Type: application/cloudevents+json' --data-binary @event.json URL
    halon sign message --key agents.key --envelope event.json | mosquitto_pub -q 1 -t TOPIC -s
    """
    body: bytes = payload.read()
    beside = headers_for(key_path.read_text().strip(), body, message_id or f"msg_{secrets.token_hex(12)}")
    if envelope:
        try:
            wrapped = {**beside, "payload": body.decode()}
        except UnicodeDecodeError as error:
            raise Failure(f"what is not UTF-8 can't go in an envelope: {error.reason} at byte {error.start}") from None
        sys.stdout.buffer.write(msgspec.json.encode(wrapped) + b"\n")
    elif as_json:
        emit(beside)
    else:
        say("\n".join(f"{name}: {value}" for name, value in beside.items()))


def headers_for(secret: str, body: bytes, message_id: str) -> dict[str, str]:
    """What goes beside a body that is signed now. Raises Failure where the key is none."""
    seconds = str(SystemClock().now_us() // SECOND_US)
    signed = b".".join((message_id.encode(), seconds.encode(), body))
    prefix, _, encoded = secret.partition("_")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError:
        raw = b""
    if prefix == "whsec" and raw:
        signature = f"v1,{_text(hmac.new(raw, signed, hashlib.sha256).digest())}"
    elif prefix == "whsk" and len(raw) == SECRET_BYTES:
        signature = f"v1a,{_text(_sign_ed25519(raw, signed))}"
    else:
        raise Failure("the key is none that signs: `halon sign key` makes one (`whsec_…` or `whsk_…`)")
    return {ID: message_id, TIMESTAMP: seconds, SIGNATURE: signature}


def _new_ed25519() -> tuple[bytes, bytes]:
    private = _ed25519().generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def _sign_ed25519(raw: bytes, signed: bytes) -> bytes:
    made: bytes = _ed25519().from_private_bytes(raw).sign(signed)
    return made


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  # an extra
    except ImportError:
        raise Failure(NO_LIBRARY) from None
    return Ed25519PrivateKey


def _write(path: Path, text: str, *, mode: int) -> None:
    """A new file; one that is there is left: it may be in use."""
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise Failure(f"{path} exists; a key in use is not written over") from None
    except OSError as error:
        raise Failure(f"{path} can't be written: {error.strerror}") from error
    with os.fdopen(made, "w") as file:
        file.write(text + "\n")


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

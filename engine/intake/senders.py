"""Who may post to the HTTP door: proof by bearer token or HMAC, and a rate per sender. `engine.intake.http` asks.

A sender without a secret is an error of the config: a door that anyone may use could be made to stop anything.
"""

import base64
import binascii
import hashlib
import hmac

from engine.clock import Clock
from engine.config import SenderConfig
from engine.intake.mapping import EventMapper
from engine.intake.producers.table import PRODUCERS
from engine.intake.proof import Proof
from engine.intake.secretfile import read_secret

TELL_EVERY_S = 10.0


class Sender:
    """One sender: its config, its secret, its rate. Raises ValueError or OSError where the config does not do."""

    def __init__(
        self, config: SenderConfig, clock: Clock, *, mapper: EventMapper | None = None, proof: Proof | None = None
    ) -> None:
        """`proof` is of its `signature`, which may stand beside a token."""
        if not (config.token_file or config.hmac_file or config.signature):
            raise ValueError(f"sender `{config.name}` needs `token_file`, `hmac_file` or `signature`")
        if config.hmac_file and (config.token_file or config.signature):
            raise ValueError(f"sender `{config.name}`: `hmac_file` goes with neither `token_file` nor `signature`")
        self.config = config
        self.mapper = mapper
        self.proof = proof
        self._clock = clock
        if self.signs and config.format in PRODUCERS and PRODUCERS[config.format].trusts_headers:
            raise ValueError(f"sender `{config.name}`: `{config.format}` tells things in headers, which nothing signs")
        written = config.token_file or config.hmac_file
        self._secret = (read_secret(written) if written else "").encode()
        self._tokens = float(config.burst_max)
        self._filled_s = clock.monotonic_s()
        self._told_s = -TELL_EVERY_S

    @property
    def signs(self) -> bool:
        """Whether it proves itself by a signature over the body, which can only be checked once that is read."""
        return bool(self.config.hmac_file or self.config.signature)

    def may_tell(self) -> bool:
        """Whether rules are to hear of one more request without proof: anybody can make these, so it is seldom."""
        now_s = self._clock.monotonic_s()
        if now_s < self._told_s + TELL_EVERY_S:
            return False
        self._told_s = now_s
        return True

    def knows_token(self, authorization: str | None) -> bool:
        """Whether an `Authorization` header holds this sender's bearer token; takes the same time for any wrong one."""
        scheme, _, token = (authorization or "").partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() == "basic":  # of programs that can send a name and a password only; the name is free
            given = _password(given)
        known = hmac.compare_digest(given, self._secret)
        return scheme.lower() in ("bearer", "basic") and known

    def knows_signature(self, header: str | None, body: bytes) -> bool:
        """Whether a header holds the HMAC-SHA256 of the body in hex, with or without `sha256=` before it."""
        given = (header or "").strip().lower().removeprefix("sha256=")
        wanted = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())

    def wait_s(self) -> float:
        """0 where one more request is within the sender's rate (which it then uses up), else the seconds to wait."""
        now_s = self._clock.monotonic_s()
        filled = self._tokens + (now_s - self._filled_s) * self.config.per_second_max
        self._tokens = min(float(self.config.burst_max), filled)
        self._filled_s = now_s
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.config.per_second_max


def _password(encoded: bytes) -> bytes:
    """The password of HTTP Basic (RFC 7617), empty where it is none."""
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""

"""Who may post to the HTTP door: proof by bearer token or HMAC, and a rate per sender. `engine.intake.http` asks.

A sender without a secret is an error of the config: a door that anyone may use could be made to stop anything.
"""

import hashlib
import hmac

from engine.clock import Clock
from engine.config import SenderConfig
from engine.intake.mapping import EventMapper
from engine.intake.secretfile import read_secret


class Sender:
    """One sender: its config, its secret, its rate. Raises ValueError or OSError where the config does not do."""

    def __init__(self, config: SenderConfig, clock: Clock, *, mapper: EventMapper | None = None) -> None:
        if bool(config.token_file) == bool(config.hmac_file):
            raise ValueError(f"sender `{config.name}` needs either `token_file` or `hmac_file`")
        self.config = config
        self.mapper = mapper
        self._clock = clock
        self._secret = read_secret(config.token_file or config.hmac_file).encode()
        self._tokens = float(config.burst_max)
        self._filled_s = clock.monotonic_s()

    @property
    def signs(self) -> bool:
        """Whether it proves itself by a signature over the body, which can only be checked once that is read."""
        return bool(self.config.hmac_file)

    def knows_token(self, authorization: str | None) -> bool:
        """Whether an `Authorization` header holds this sender's bearer token; takes the same time for any wrong one."""
        scheme, _, token = (authorization or "").partition(" ")
        known = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self._secret)
        return scheme.lower() == "bearer" and known

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

"""How long to wait before the next try to connect: doubled each time up to a cap, with jitter.

Jitter keeps a fleet of daemons from knocking in step at a broker that comes back.
"""

import random
from collections.abc import Callable

FIRST_S = 0.25
_JITTER_MIN = 0.5
_RANDOM = random.SystemRandom()


class Backoff:
    """Waits of 0.25 s, 0.5 s, 1 s, … up to `max_s`, each shortened by up to a half at random."""

    def __init__(self, max_s: float, *, share: Callable[[], float] = _RANDOM.random) -> None:
        self._max_s = max_s
        self._share = share
        self._tries = 0

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        whole_s = min(self._max_s, FIRST_S * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return whole_s * (_JITTER_MIN + (1 - _JITTER_MIN) * self._share())

    def reset(self) -> None:
        """The connection proved itself: begin anew."""
        self._tries = 0

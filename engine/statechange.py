"""What the core remembers, written down: one row per (space, owner, key), which the store saves and gives back.

`engine.detect` and `engine.correlate` make them, `engine.core` drains them, the store keeps them unopened.
"""

from enum import StrEnum

from engine.model import Key, Struct


class Space(StrEnum):
    """Whose state: windows of signals, or partial matches of rules and open incidents."""

    WINDOWS = "windows"
    MATCHES = "matches"


class StateChange(Struct, frozen=True, gc=False):
    """The state of one (owner, key) as it is now; `state` None: it is gone.

    It belongs to the rule text that `digest` stands for and to the format `version`; with others it is thrown away.
    """

    space: Space
    owner: str
    key: Key
    digest: str
    state: bytes | None
    version: int = 1

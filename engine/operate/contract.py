"""What a daemon can be told to do over the control socket: `Steering`, what it is handed, and what became of it.

`engine.operate.control` serves it, `engine.operate.client` speaks to it; the views that it answers stand in
`engine.operate.shown`. Times are aware datetimes in UTC; lengths of time carry their unit in the name.
"""

from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from engine.clock import DURATION_MAX_US
from engine.diagnostics import Diagnostic
from engine.model import (
    IncidentId,
    IncidentState,
    IntentId,
    LeaseId,
    Resolution,
    Struct,
)
from engine.operate.shown import Live

HANDED_EVENTS_MAX = 500
"""Events of one request to `/v1/events`."""


class Done(Struct, frozen=True, tag="done"):
    """It was done; `detail` says what."""

    detail: str


class NotDone(Struct, frozen=True, tag="not-done"):
    """It was not done; `reason` says why and what to do."""

    reason: str
    diagnostics: tuple[Diagnostic, ...] = ()


class NotFound(Struct, frozen=True, tag="not-found"):
    """There is no such thing."""

    reason: str


Act = Done | NotDone | NotFound
"""What became of a steering act: a closed union."""


class Reason(Struct, frozen=True):
    """Body of release, deny and pause."""

    reason: str = ""


class Advance(Struct, frozen=True):
    """Body of advance: to which state, or to where it goes next."""

    to: IncidentState | None = None
    reason: str = ""


class Close(Struct, frozen=True):
    """Body of close: how it ended, and for how long its key is watched if not as configured; 0 for not at all."""

    resolution: Resolution
    reason: Annotated[str, Meta(max_length=10_000)] = ""
    duplicate_of: str = ""
    watch_us: Annotated[int, Meta(ge=0, le=DURATION_MAX_US)] | None = None


class WatchKey(Struct, frozen=True):
    """Body of watch and unwatch."""

    key: Annotated[dict[str, str], Meta(max_length=8)]
    for_us: Annotated[int, Meta(ge=1, le=DURATION_MAX_US)] = 86_400_000_000
    reason: Annotated[str, Meta(max_length=10_000)] = ""


class Handed(Struct, frozen=True):
    """Body of `/v1/events`: a part of a recording for the running daemon, as CloudEvents in JSON.

    `recording` and `run` say on record what it is a part of; `first` and `last` are its ends. Without `enforce` it is
    refused while the daemon acts on what events match.
    """

    events: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(max_length=HANDED_EVENTS_MAX)]
    recording: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    run: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{1,32}\Z")]
    first: bool = False
    last: bool = False
    enforce: bool = False


class Taken(Struct, frozen=True, tag="taken"):
    """They are durable; `duplicates` of them were seen before, and nothing comes of these."""

    new: int
    duplicates: int


Handing = Taken | NotDone
"""What became of events that were handed in."""


class Steering(Protocol):
    """The daemon, as seen from its control socket. `who` goes into the audit log; every act is recorded there."""

    async def status(self) -> Live:
        """What only the running daemon knows."""
        ...

    async def release_lease(self, lease: LeaseId, *, who: str, reason: str) -> Act:
        """Undo what a lease holds, whoever holds it, and read the target back."""
        ...

    async def approve(self, intent: IntentId, *, who: str) -> Act:
        """Let a step that waits for a person go ahead."""
        ...

    async def deny(self, intent: IntentId, *, who: str, reason: str) -> Act:
        """Refuse a step that waits for a person."""
        ...

    async def acknowledge(self, incident: IncidentId, *, who: str, reason: str) -> Act:
        """Somebody looks after the incident now."""
        ...

    async def advance(self, incident: IncidentId, wanted: Advance, *, who: str) -> Act:
        """A person moves the incident on."""
        ...

    async def close_incident(self, incident: IncidentId, wanted: Close, *, who: str) -> Act:
        """End an incident; what it alone holds is released."""
        ...

    async def reopen(self, incident: IncidentId, *, who: str, reason: str) -> Act:
        """Open a closed incident again."""
        ...

    async def watch(self, wanted: WatchKey, *, who: str) -> Act:
        """Put a key on the watch list."""
        ...

    async def unwatch(self, wanted: WatchKey, *, who: str) -> Act:
        """Take a key off the watch list."""
        ...

    async def pause(self, *, who: str, reason: str) -> Act:
        """Stop all acting: intents are held, leases stay as they are."""
        ...

    async def resume(self, *, who: str) -> Act:
        """Act again, held intents first."""
        ...

    async def reload(self, *, who: str) -> Act:
        """Read the rules and config again; bad ones leave the old ones running, and come back as diagnostics."""
        ...

    async def drop_deadletter(self, number: int, *, who: str) -> Act:
        """Forget one dead letter."""
        ...

    async def retry_deadletter(self, number: int, *, who: str) -> Act:
        """Take one in again; it goes once its events are durable."""
        ...

    async def hand_in(self, handed: Handed, *, who: str) -> Handing:
        """Take events of a recording in, and say when they are durable."""
        ...

"""`first-seen`: what a principal touches to a finding, where it is new for it; found by name in `table.py`."""

from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta

from engine.clock import Duration
from engine.detectors.contract import Observation, Params
from engine.detectors.values import State, StateDetector
from engine.model import Finding

MARK_BYTES = 8
SHOWN_CHARS_MAX = 100


class FirstSeenParams(Params, frozen=True):
    """`learn`: observations, and `learn_for`: length of time, in which all is new and nothing found; both must be over.

    `memory`: different values kept; the one not seen for longest goes first. `forget`: after this long unseen, a value
    is new again; 0 for never.
    """

    learn: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    learn_for: Duration = Duration(0)
    memory: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    forget: Duration = Duration(0)


class _State(State):
    seen: int = 0
    since_us: int | None = None
    known: dict[bytes, int] = {}


class FirstSeen(StateDetector[FirstSeenParams]):
    """A value of `of` that this key never had before: a principal at a resource where it never was.

    Make the key the principal and `of` the resource (`by = { principal = "event.subject" }`, `of =
    "event.data.bucket"`), or both parts of the key another way round to watch a resource. Values are kept as hashes of
    8 bytes.

    Parameters: `learn` (observations, 100), `learn_for` (duration, 0), `memory` (values, 1,000), `forget` (duration, 0:
    never).
    False alarms: each new but rightful resource is one; a principal that keeps going to new places has as many as it
    has new places. Where there are more than `memory` of them, old ones come up as new.
    Use `distinct` for how many in a time, `egress` for how much.
    Source: new-term rules of intrusion detection, after Denning (1987), An Intrusion-Detection Model, IEEE TSE 13(2).

    >>> from engine.detectors.contract import Observation
    >>> detector = FirstSeen(FirstSeenParams(learn=6))
    >>> touched = ["logs", "data", "logs", "data", "logs", "data", "logs", "weights", "weights"]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=of)) for i, of in enumerate(touched)]
    >>> [(finding.event_ids, finding.detail) for finding in found if finding]
    [(('e7',), 'weights is new beside 2 known')]
    """

    method = "first-seen"
    params_type = FirstSeenParams
    state_type = _State
    needs_of = True
    restarts = True

    def restored(self) -> None:
        known = self.state.known
        if len(known) > self.params.memory or any(len(mark) != MARK_BYTES for mark in known):
            raise ValueError("more values than there can be, or marks of another length")

    def update(self, observation: Observation) -> Finding | None:
        state, params, at_us = self.state, self.params, observation.at_us
        if state.since_us is None:
            state.since_us = at_us
        learning = state.seen < params.learn or at_us - state.since_us < params.learn_for
        state.seen = min(state.seen + 1, params.learn)
        mark = blake2b(msgspec.json.encode(observation.of, order="deterministic"), digest_size=MARK_BYTES).digest()
        last_us = state.known.pop(mark, None)
        state.known[mark] = at_us if last_us is None else max(at_us, last_us)
        known = len(state.known) - 1
        if len(state.known) > params.memory:
            del state.known[next(iter(state.known))]
        new = last_us is None or (params.forget > 0 and at_us - last_us > params.forget)
        if learning or not new:
            return None
        shown = observation.of if isinstance(observation.of, str) else msgspec.json.encode(observation.of).decode()
        detail = f"{shown[:SHOWN_CHARS_MAX]} is new beside {known} known"
        return Finding(detail=detail, event_ids=(observation.event_id,))

    def bytes_max(self) -> int:
        return 64 + self.params.memory * (2 + MARK_BYTES + 9)

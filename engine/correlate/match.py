"""One rule and key: signals to matches, by what is remembered of the signals before; docs/rules.md, 19 to 22.

Memory is a few signals per name in `when`, whatever the stream. `engine.correlate.run` calls this.
"""

from collections.abc import Iterable

import msgspec

from engine.correlate.joins import Join
from engine.model import Key, RuleId, Signal, SignalId

FORMAT = 1
"""Version of what `dump` writes."""


class Pending(msgspec.Struct, frozen=True, array_like=True):
    """A match that waits for `none` to stay away until `due_us`; `end_us` is the time of its newest signal."""

    due_us: int
    end_us: int
    signals: tuple[Signal, ...]
    completing: Signal


class _Dump(msgspec.Struct, array_like=True):
    used: int
    newest: list[Signal]
    none_us: int | None
    chains: list[tuple[Signal, ...]]
    sources: dict[str, int]
    pending: Pending | None


_encoder = msgspec.json.Encoder()
_dumps = msgspec.json.Decoder(_Dump)


class MatchState:
    """What a rule remembers for one key. `dirty`: it was touched since it was last written down."""

    __slots__ = ("chains", "dirty", "key", "newest", "none_us", "pending", "queued_us", "rule", "sources", "used")

    def __init__(self, rule: RuleId, key: Key) -> None:
        self.rule = rule
        self.key = key
        self.dirty = False
        self.newest: dict[SignalId, Signal] = {}
        self.none_us: int | None = None
        self.chains: list[tuple[Signal, ...]] = []
        self.sources: dict[str, int] = {}
        self.pending: Pending | None = None
        self.used = 0
        self.queued_us: int | None = None

    def forget(self) -> None:
        """Everything but the signals of `none`: the next match needs new evidence."""
        if self.newest:
            self.newest, self.chains, self.sources, self.pending = {}, [], {}, None

    def dump(self) -> bytes:
        """The whole state. As JSON: events may hold integers that msgpack has no room for."""
        # A `_Dump`, without making one
        newest = list(self.newest.values())
        return _encoder.encode((self.used, newest, self.none_us, self.chains, self.sources, self.pending))

    def load(self, blob: bytes) -> None:
        """Take the state of `dump` over; raises `msgspec.DecodeError` on anything else."""
        state = _dumps.decode(blob)
        self.used, self.none_us, self.pending = state.used, state.none_us, state.pending
        self.newest = {signal.signal: signal for signal in state.newest}
        self.chains, self.sources = state.chains, state.sources


def remember_unwanted(join: Join, state: MatchState, signal: Signal) -> None:
    """A signal of `none` came: it voids matches within reach of it, a waiting one too."""
    if state.none_us is None or signal.at_us > state.none_us:
        state.none_us = signal.at_us
    if state.pending is not None and _reaches(join, signal.at_us, state.pending.end_us):
        state.pending = None


def take(join: Join, state: MatchState, signal: Signal) -> tuple[Signal, ...] | None:
    """A wanted signal came: remember it; the signals of the match that it completes, unless something voids it."""
    name = signal.signal
    known = state.newest.get(name)
    if known is None or signal.at_us >= known.at_us:
        state.newest[name] = signal
    if join.corroborate > 1:
        _remember_sources(join, state, signal)
    matched = _follow(join, state, signal) if join.sequence else _gather(join, state, signal)
    if matched is None or (state.none_us is None and join.corroborate <= 1):
        return matched
    end_us = max(each.at_us for each in matched)
    if state.none_us is not None and _reaches(join, state.none_us, end_us):
        return None
    heard = sum(1 for at_us in state.sources.values() if _reaches(join, at_us, end_us))
    return matched if join.corroborate <= 1 or heard >= join.corroborate else None


def _reaches(join: Join, at_us: int, end_us: int) -> bool:
    """Whether something at `at_us` is new enough to matter to a match that ends at `end_us`."""
    return join.within_us is None or at_us >= end_us - join.within_us


def _remember_sources(join: Join, state: MatchState, signal: Signal) -> None:
    for source in signal.sources:
        state.sources[source] = max(signal.at_us, state.sources.get(source, signal.at_us))
    while len(state.sources) > join.corroborate:
        # Whether enough of them are new enough is decided by the newest ones alone.
        del state.sources[min(state.sources, key=state.sources.__getitem__)]


def _gather(join: Join, state: MatchState, signal: Signal) -> tuple[Signal, ...] | None:
    """`all` and `any`: enough names in one stretch of `within` that has the signal in it; the one that ends last."""
    if join.at_least == 1:
        return (signal,)
    within_us = join.within_us
    others = [state.newest[name] for name in join.names if name != signal.signal and name in state.newest]
    if within_us is None:
        return _in_order([*others, signal]) if len(others) + 1 >= join.at_least else None
    ends = {signal.at_us} | {each.at_us for each in others if signal.at_us < each.at_us <= signal.at_us + within_us}
    for end_us in sorted(ends, reverse=True):
        inside = [each for each in others if end_us - within_us <= each.at_us <= end_us]
        if len(inside) + 1 >= join.at_least:
            return _in_order([*inside, signal])
    return None


def _in_order(signals: Iterable[Signal]) -> tuple[Signal, ...]:
    return tuple(sorted(signals, key=lambda each: each.at_us))


def _follow(join: Join, state: MatchState, signal: Signal) -> tuple[Signal, ...] | None:
    """`sequence`: for each place the chain up to it that began last; the signal extends those it can."""
    names, within_us = join.names, join.within_us
    chains = state.chains
    if not chains:
        chains = state.chains = [()] * len(names)
    complete: tuple[Signal, ...] | None = None
    # From the last place to the first, so that one signal does not take two places.
    for place in join.places[signal.signal]:
        chain: tuple[Signal, ...] = (signal,)
        if place:
            before = chains[place - 1]
            if not before or signal.at_us < before[-1].at_us:
                continue
            chain = (*before, signal)
        _keep(chains, place, chain)
        later = place + 1
        while later < len(names):
            # It came late: what should follow it may be here already.
            after = state.newest.get(names[later])
            if after is None or after.at_us <= chain[-1].at_us:
                break
            chain = (*chain, after)
            _keep(chains, later, chain)
            later += 1
        whole = len(chain) == len(names)
        if whole and complete is None and (within_us is None or chain[-1].at_us - chain[0].at_us <= within_us):
            complete = chain
    return complete


def _keep(chains: list[tuple[Signal, ...]], place: int, chain: tuple[Signal, ...]) -> None:
    known = chains[place]
    if not known or chain[0].at_us >= known[0].at_us:
        chains[place] = chain

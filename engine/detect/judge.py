"""One event, or one due timer, to signals and faults. `engine.core` calls this.

The rules of judging (what an observation is, `for`, `cooldown`) are those of docs/rules.md, Exact meaning, 7 to 11.
"""

from collections.abc import Iterable

import msgspec

from engine.cel.contract import CelFault
from engine.cel.template import to_json
from engine.cel.values import kind_of
from engine.detect.keystate import KeyState
from engine.detect.state import DetectState
from engine.detect.watch import OfEvent, Watch
from engine.model import Event, Fault, Finding, Json, Key, Signal, Struct
from engine.rulefile.rules import SignalRule

KEYS_KNOWN_MAX = 16_384
"""Keys of one name that are kept at hand, so that all tables meet the same object; past this all are made anew."""
KEY_CHARS_MAX = 256
"""A longer value of a key is a fault: keys are kept, shown and sent."""


class Detected(Struct, frozen=True, gc=False):
    """What one event gave."""

    signals: tuple[Signal, ...] = ()
    faults: tuple[Fault, ...] = ()


NOTHING = Detected()


class _Fault(Exception):  # noqa: N818  # a fault is data, caught in this module
    """An expression that has no usable value: which, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def detect(watches: Iterable[Watch], state: DetectState, event: Event, at_us: int) -> Detected:
    """The signals and faults of an event that the index gave `watches` for; `at_us` is its time, clamped."""
    signals: list[Signal] | None = None  # most events give none
    faults: list[Fault] | None = None
    for watch in watches:
        matches = watch.matches
        try:
            if matches is not None and not matches(event):
                if watch.holds:
                    _end_hold(watch, state, event, at_us)
                continue
            signal = _observe(watch, state, event, at_us)
        except CelFault as fault:  # of `where`: what goes wrong later says itself which field it is
            if watch.holds:
                _end_hold(watch, state, event, at_us)
            faults = [*(faults or ()), _as_data(watch, "where", fault, event, at_us)]
        except _Fault as fault:
            faults = [*(faults or ()), _as_data(watch, fault.field, fault, event, at_us)]
        else:
            if signal is not None:
                if signals is None:
                    signals = [signal]
                else:
                    signals.append(signal)
    if state.broken:
        more = [Fault(owner=name, field="detect", reason=why, at_us=at_us) for name, why in state.broken]
        faults = [*(faults or ()), *more]
        state.broken.clear()
    return Detected(tuple(signals or ()), tuple(faults or ())) if signals or faults else NOTHING


def _as_data(watch: Watch, field: str, fault: Exception, event: Event, at_us: int) -> Fault:
    return Fault(owner=watch.rule.id, field=field, reason=str(fault), at_us=at_us, event_id=event.id)


def fire_timer(state: DetectState) -> Signal | None:
    """Deal with the timer that is due next; the signal it gives, if any."""
    popped = state.pop_due()
    assert popped is not None, "called only when a timer is due"
    due_us, rule, key, kept = popped
    signal = None
    if kept.hold_due_us() == due_us:
        kept.told = True
        event = kept.hold_event
        finding = Finding(detail="held that long", event_ids=() if event is None else (event.id,))
        signal = _give(rule, kept, key, due_us, finding, event)
    elif kept.detector is not None:
        try:
            found = _tick(kept, state, key, due_us)
        except Exception as error:  # noqa: BLE001  # as in `_observe`
            state.broken.append((rule.id, state.renew(rule, key, error)))
            return None
        signal = None if found is None else _give(rule, kept, key, due_us, found, None)
    state.schedule(rule.id, key, kept)
    return signal


def _tick(kept: KeyState, state: DetectState, key: Key, due_us: int) -> Finding | None:
    """The windows of a key of which a timer is due: what the first finds, or the second for a watched key."""
    found: Finding | None = None
    for detector in (kept.detector, kept.strict):
        if detector is None or detector.due_us() != due_us:
            continue
        told = detector.tick(due_us)
        later_us = detector.due_us()
        assert later_us is None or later_us > due_us, "it does not come past its timer"
        if detector is kept.strict and told is not None:
            told = _if_watched(told, state, key, due_us)
        found = found or told
    return found


def _if_watched(found: Finding, state: DetectState, key: Key, at_us: int) -> Finding | None:
    """What the second window found, where its key is watched."""
    if not state.watchlist.watches(key, at_us):
        return None
    return msgspec.structs.replace(found, detail=f"{found.detail} (watched)")


def _observe(watch: Watch, state: DetectState, event: Event, at_us: int) -> Signal | None:
    """The event is an observation of its key."""
    rule = watch.rule
    key = _key(watch, event) if watch.by else ()
    value = None if watch.value is None else _number(watch.value, event)
    if watch.stateless:
        finding = Finding(watch.detail, value, None, (event.id,))
        return Signal(rule.id, key, at_us, finding, event, (event.source,))
    of = None if watch.of is None else _of(watch, watch.of, event)
    kept = state.touch(rule, key)
    if kept.detector is None:
        found: Finding | None = Finding(watch.detail, value, None, (event.id,))
    else:
        try:
            found = kept.detector.observe(event, at_us, value, of)
            if kept.strict is not None:
                stricter = kept.strict.observe(event, at_us, value, of)
                if found is None and stricter is not None:
                    found = _if_watched(stricter, state, key, at_us)
        except Exception as error:  # the event would come again, and end the daemon again, for ever
            raise _Fault("detect", state.renew(rule, key, error)) from error
    held = _hold(kept, found, event, at_us) if watch.holds else found
    if watch.timed:
        state.schedule(rule.id, key, kept)
    return None if held is None else _give(rule, kept, key, at_us, held, event)


def _hold(kept: KeyState, found: Finding | None, event: Event, at_us: int) -> Finding | None:
    """`for`: the finding, if the key has held long enough with it."""
    if kept.newest_us is None or at_us >= kept.newest_us:
        kept.newest_us = at_us
        if found is None:
            kept.release()
            return None
        if kept.since_us is None:
            kept.since_us = at_us
        kept.hold_event = None if kept.told else event  # told already: nothing will ask for it
    if found is None or kept.since_us is None or at_us - kept.since_us < kept.for_us:
        return None
    kept.told, kept.hold_event = True, None
    return found


def _end_hold(watch: Watch, state: DetectState, event: Event, at_us: int) -> None:
    """An event that the signal hears and does not match ends the hold of its key."""
    rule = watch.rule
    try:
        key = _key(watch, event)
    except _Fault:
        return
    kept = state.peek(rule.id, key)
    if kept is None or (kept.newest_us is not None and at_us < kept.newest_us):
        return
    state.touch(rule, key)
    kept.newest_us = at_us
    kept.release()


def _give(
    rule: SignalRule, kept: KeyState, key: Key, at_us: int, finding: Finding, event: Event | None
) -> Signal | None:
    """The signal, unless `cooldown` mutes it."""
    if rule.cooldown_us:
        if kept.given_us is not None and at_us < kept.given_us + rule.cooldown_us:
            return None
        kept.given_us = at_us
    sources = () if event is None else (event.source,)
    return Signal(rule.id, key, at_us, finding, event, sources)


def _key(watch: Watch, event: Event) -> Key:
    known, only = watch.known, watch.only
    if only is not None:
        try:
            key = known.get(only(event))
        except (CelFault, TypeError):
            key = None  # looked at again below, which says why
        if key is not None:
            return key
    parts: list[tuple[str, str]] = []
    for name, expression in watch.by:
        try:
            value = expression(event)
        except CelFault as fault:
            raise _Fault(f"by.{name}", str(fault)) from None
        if type(value) is not str:
            raise _Fault(f"by.{name}", f"the value is {kind_of(value)}, a string is needed")
        if len(value) > KEY_CHARS_MAX:
            raise _Fault(f"by.{name}", f"the value has {len(value)} characters, at most {KEY_CHARS_MAX} make a key")
        parts.append((name, value))
    key = tuple(parts)
    if only is not None:
        if len(known) >= KEYS_KNOWN_MAX:
            known.clear()
        known[parts[0][1]] = key
    return key


def _number(expression: OfEvent, event: Event) -> float:
    try:
        return float(expression(event))
    except CelFault as fault:
        raise _Fault("value", str(fault)) from None
    except (OverflowError, TypeError, ValueError):
        raise _Fault("value", "the value is not a number that can be reckoned with") from None


def _of(watch: Watch, expression: OfEvent, event: Event) -> Json:
    try:
        value = expression(event)
        detect = watch.rule.detect
        if detect is not None and detect.detector.of_bool and not isinstance(value, bool):
            raise _Fault("detect.of", f"the value is {kind_of(value)}, true or false is needed")
        return value if value is None or isinstance(value, str | bool | int | float) else to_json(value)
    except CelFault as fault:
        raise _Fault("detect.of", str(fault)) from None

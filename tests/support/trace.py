"""A seed to 20,000 events with an incident for every kind of window and join, and what the rules must make of them.

`Trace(base_us)` places events around `base_us`, which should be now: those that wait for a timer come first and are due
`TIMER_S` later, so that they tell whether timers outlive a crash; all others carry times of the hour before. What must
come of it is worked out by the core itself, in memory and without a fault.
"""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from engine.clock import SECOND_US, format_time
from engine.cloudevents import decode_event
from engine.core import Core
from engine.model import Event, Incident, Intent
from tests.support.rules import rules_of

EVENTS = 20_000
KEYS_PER_KIND = 4
TIMER_S = 15
MESSAGE_EVENTS = 100
NOISE_KEYS = 40

_VALUE = 'value = "event.data.v"'
_SIGNALS: dict[str, str] = {
    "plain": "",
    "count": 'detect = { method = "count", at_least = 5, within = "1m" }',
    "distinct": 'detect = { method = "distinct", of = "event.data.v", at_least = 4, within = "1m" }',
    "ratio": 'detect = { method = "ratio", of = "event.data.v > 5.0", at_least = 0.5, within = "1m", min_events = 4 }',
    "sum": f'{_VALUE}\ndetect = {{ method = "sum", above = 30.0, within = "1m" }}',
    "mean": f'{_VALUE}\ndetect = {{ method = "mean", above = 8.0, within = "1m", min_events = 3 }}',
    "min": f'{_VALUE}\ndetect = {{ method = "min", below = 1.0, within = "1m", min_events = 2 }}',
    "max": f'{_VALUE}\ndetect = {{ method = "max", above = 90.0, within = "1m" }}',
    "quantile": f'{_VALUE}\ndetect = {{ method = "quantile", q = 0.5, above = 8.0, within = "1m", min_events = 3 }}',
    "threshold": f'{_VALUE}\ndetect = {{ method = "threshold", above = 9.0, consecutive = 3 }}',
    "robust": f'{_VALUE}\ndetect = {{ method = "robust-z", window = 50, warmup = 10, above = 8.0 }}',
    "ewma": f'{_VALUE}\ndetect = {{ method = "ewma", centre = 3.0, scale = 1.0, above = 8.0 }}',
    "cusum": f'{_VALUE}\ndetect = {{ method = "cusum", centre = 3.0, scale = 1.0, above = 6.0 }}',
    "all": "",
    "any": "",
    "sequence": "",
    "corroborate": "",
    "absence": f'detect = {{ method = "absence", for = "{TIMER_S}s" }}',
    "for": f'{_VALUE}\ndetect = {{ method = "threshold", above = 9.0 }}\nfor = "{TIMER_S}s"',
    "wait": "",
}
KINDS = tuple(_SIGNALS)
TIMER_KINDS = ("absence", "for", "wait")
_WHEN = {
    "all": 'all = ["all", "all-b"], within = "1m"',
    "any": 'any = ["any", "any-b", "any-c"], at_least = 2, within = "1m"',
    "sequence": 'sequence = ["sequence", "sequence-b", "sequence"], within = "1m"',
    "corroborate": 'any = ["corroborate"], within = "1m", corroborate = 3',
    "wait": f'any = ["wait"], none = ["wait-b"], within = "5s", wait = "{TIMER_S}s"',
}
_EXTRA = ("all-b", "any-b", "any-c", "sequence-b", "wait-b")


def rules_text(target: str) -> str:
    """Rules over all kinds, each with two steps at the HTTP server `target`."""
    parts = []
    for name, body in (*_SIGNALS.items(), *((extra, "") for extra in _EXTRA)):
        parts.append(f'[signal.{name}]\non = "t.{name}"\nby = {{ k = "event.subject" }}\n{body}\n')
    for kind in KINDS:
        when = _WHEN.get(kind, f'any = ["{kind}"]')
        severity = ("low", "medium", "high", "critical")[KINDS.index(kind) % 4]
        parts.append(
            f'[incident.of-{kind}]\ndescription = "{kind}"\n'
            f'[rule.{kind}]\nincident = "of-{kind}"\nseverity = "{severity}"\nby = ["k"]\n'
            f'when = {{ {when} }}\nplaybook = "act"\n'
        )
    step = '{{ do = "http.request", method = "PUT", url = "{0}/{1}", verify_url = "{0}/{1}", timeout = "20s" }}'
    name = "${incident.type}.${incident.key.k}"
    parts.append(
        f"[playbook.act]\ncontain = [{step.format(target, 'hold.' + name)}]\n"
        f"investigate = [{step.format(target, 'note.' + name)}]\n"
    )
    return "\n".join(parts)


class Trace:
    """The events as CloudEvents, in batches as messages, and the incidents and intents that they must give."""

    def __init__(self, base_us: int, *, seed: int = 1, events: int = EVENTS) -> None:
        self.base_us = base_us
        self._random = Random(seed)
        self._number = 0
        self._time: dict[str, int] = {}
        timers = [event for kind in TIMER_KINDS for key in self._keys(kind) for event in self._timed(kind, key)]
        episodes = [self._episode(kind, key) for kind in KINDS if kind not in TIMER_KINDS for key in self._keys(kind)]
        timers += [event for key in ("spared-1", "spared-2") for event in self._spared(key)]
        self._timers = len(timers)
        space = events - len(timers)
        self.events = timers + self._spread(episodes, space)

    @staticmethod
    def _keys(kind: str) -> list[str]:
        return [f"{kind}-{number}" for number in range(KEYS_PER_KIND)]

    def messages(self, events: Sequence[dict[str, Any]] | None = None) -> list[bytes]:
        """The events, or those given, as JSON batches."""
        chosen = self.events if events is None else events
        return [
            json.dumps(chosen[start : start + MESSAGE_EVENTS]).encode()
            for start in range(0, len(chosen), MESSAGE_EVENTS)
        ]

    def disordered(self, within_us: int) -> list[dict[str, Any]]:
        """The events of the past, each delayed by less than `within_us` on its way; those with timers come first."""
        timed, rest = self.events[: self._timers], self.events[self._timers :]
        late = [(self._time[event["id"]] + self._random.randrange(within_us), at) for at, event in enumerate(rest)]
        return timed + [rest[at] for _, at in sorted(late)]

    def expected(
        self, target: str, order: Sequence[dict[str, Any]] | None = None
    ) -> tuple[list[Incident], list[Intent]]:
        """What the core makes of the events in memory: fed at once, then the time in which all timers come due."""
        core = Core(rules_of(rules_text(target)))
        now_us = self.base_us + 4 * SECOND_US
        opened: list[Incident] = []
        intents: list[Intent] = []
        core.tick(self.base_us - SECOND_US)
        for each in self.events if order is None else order:
            step = core.event(_decoded(each, now_us), now_us)
            opened += step.opened
            intents += step.intents
        step = core.tick(self.base_us + 100 * SECOND_US)
        return opened + list(step.opened), intents + list(step.intents)

    # --- Making it ---------------------------------------------------------------------------------------------------

    def _event(self, kind: str, key: str, at_us: int, value: float | None = None, source: str = "s") -> dict[str, Any]:
        self._number += 1
        made: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"e{self._number}",
            "source": f"urn:{source}",
            "type": f"t.{kind}",
            "subject": key,
            "time": format_time(at_us),
            "data": {"v": round(self._random.uniform(2, 4), 3) if value is None else value},
        }
        self._time[made["id"]] = at_us
        return made

    def _timed(self, kind: str, key: str) -> list[dict[str, Any]]:
        """Events of a key that lead to a timer, and the timer to an incident."""
        at = [self.base_us + second * SECOND_US for second in (0, 1, 2)]
        match kind:
            case "absence":
                return [self._event(kind, key, at[0]), self._event(kind, key, at[2])]
            case "for":
                return [self._event(kind, key, each, 20.0) for each in at]
            case _:
                return [self._event("wait-b", key, at[0] - 60 * SECOND_US), self._event(kind, key, at[1])]

    def _spared(self, key: str) -> list[dict[str, Any]]:
        """Events that set timers, and others that take them back: nothing may come of them."""
        at = [self.base_us + second * SECOND_US for second in (0, 1)]
        return [
            self._event("for", key, at[0], 20.0),
            self._event("for", key, at[1], 1.0),
            self._event("wait", key, at[0]),
            self._event("wait-b", key, at[1]),
        ]

    def _episode(self, kind: str, key: str) -> list[tuple[int, Callable[[int], dict[str, Any]]]]:
        """(microseconds after its start, how to make the event there) for one incident, over at most 40 seconds."""
        second = SECOND_US

        def of(name: str, value: float | None = None, source: str = "s") -> Callable[[int], dict[str, Any]]:
            return lambda at_us: self._event(name, key, at_us, value, source)

        values: dict[str, list[float]] = {
            "count": [1.0] * 5,
            "distinct": [1.0, 2.0, 2.0, 3.0, 4.0],
            "ratio": [1.0, 1.0, 9.0, 9.0],
            "sum": [10.0, 10.0, 11.0],
            "mean": [7.0, 9.0, 12.0],
            "min": [2.0, 0.5],
            "max": [2.0, 95.0],
            "quantile": [2.0, 9.0, 9.5],
            "threshold": [9.5, 9.6, 9.7],
            "robust": [2.0, 2.1, 1.9, 2.2, 1.8] * 4 + [60.0],
            "ewma": [2.0, 2.1, 1.9, 2.2, 1.8] * 4 + [60.0] * 5,
            "cusum": [2.0, 2.1, 1.9, 2.2, 1.8] * 4 + [60.0] * 5,
        }
        match kind:
            case "plain":
                made = [of(kind)]
            case "all":
                made = [of("all"), of("all-b")]
            case "any":
                made = [of("any-c"), of("any")]
            case "sequence":
                made = [of("sequence"), of("sequence-b"), of("sequence")]
            case "corroborate":
                made = [of(kind, source=f"s{number}") for number in range(3)]
            case _:
                made = [of(kind, value) for value in values[kind]]
        return [(number * second, each) for number, each in enumerate(made)]

    def _spread(
        self, episodes: Sequence[list[tuple[int, Callable[[int], dict[str, Any]]]]], space: int
    ) -> list[dict[str, Any]]:
        """Episodes at random places of the hour before, in noise of keys and values that no rule fires for."""
        span_us = 3_000 * SECOND_US
        start_us = self.base_us - span_us - 60 * SECOND_US
        planned: list[tuple[int, Callable[[int], dict[str, Any]]]] = []
        for episode in episodes:
            begin_us = start_us + self._random.randrange(span_us - 60 * SECOND_US)
            planned += [(begin_us + after_us, make) for after_us, make in episode]
        while len(planned) < space:
            planned.append((start_us + self._random.randrange(span_us), self._noise()))
        return [make(at_us) for at_us, make in sorted(planned, key=lambda each: each[0])]

    def _noise(self) -> Callable[[int], dict[str, Any]]:
        """Something that windows take in, or that no rule hears; three quarters of all are heard."""
        kind = self._random.choice(("quantile", "max", "all", "sequence-b", "min", "robust", "unheard", "mean"))
        key = f"noise-{self._random.randrange(NOISE_KEYS)}"
        return lambda at_us: self._event(kind, key, at_us)


def _decoded(event: dict[str, Any], arrived_us: int) -> Event:
    [decoded] = decode_event(json.dumps(event).encode(), arrived_us=arrived_us)
    return decoded

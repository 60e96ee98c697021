"""What the matching benchmark feeds: the events and the rules of Work A and Work B, from a fixed seed.

Work A: one type, one model per rule, `score > 0.98`; 1 % of the events match. Work B: five of a kind in 60 s per key,
and A then B within 5 min per key; 1,000 keys.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterator
from random import Random

THRESHOLD = 0.98
KEYS = 1_000
START_S = 1_767_225_600


def model_of(rule: int) -> str:
    return f"m{rule}"


def stamp(seconds: float) -> str:
    whole = int(seconds)
    hours, rest = divmod(whole, 3_600)
    day, hour = divmod(hours, 24)
    return f"2026-01-{day + 1:02d}T{hour:02d}:{rest // 60:02d}:{rest % 60:02d}.{int((seconds - whole) * 1000):03d}Z"


def work_a_events(rules: int, count: int, *, seed: int = 1) -> list[bytes]:
    """CloudEvents of about 330 bytes, a thousand in a second of event time."""
    pick = Random(seed)
    events = []
    for number in range(count):
        score = 0.99 if pick.random() < 0.01 else round(0.001 + pick.random() * 0.97, 6)
        event = {
            "specversion": "1.0",
            "id": f"evt-{number:08d}",
            "source": "urn:inference:gateway-1",
            "type": "inference",
            "time": stamp(number / 1_000),
            "subject": f"client-{pick.randrange(1_000)}",
            "datacontenttype": "application/json",
            "data": {
                "model": model_of(pick.randrange(rules)),
                "score": score,
                "latency_ms": pick.randrange(900),
                "tokens": pick.randrange(4_000),
                "status": "ok",
                "region": "eu-west",
                "node": "n17",
            },
        }
        events.append(json.dumps(event).encode())
    return events


def work_a_rules(rules: int) -> str:
    """A rule file: a signal and a rule each."""
    tables = []
    for number in range(rules):
        where = (
            f"event.type == 'inference' && event.data.model == '{model_of(number)}' && event.data.score > {THRESHOLD}"
        )
        tables.append(
            f'[signal.s{number}]\non = "inference"\nwhere = "{where}"\nby = {{ model = "event.data.model" }}\n'
            f'[rule.r{number}]\nincident = "model-drift"\nseverity = "low"\nby = ["model"]\n'
            f'when = {{ any = ["s{number}"] }}\n'
        )
    return "".join(tables)


WORK_B_RULES = """
[signal.burst]
on = "x"
by = { key = "event.subject" }
detect = { method = "count", at_least = 5, within = "60s" }
[signal.a]
on = "a"
by = { key = "event.subject" }
[signal.b]
on = "b"
by = { key = "event.subject" }
[rule.burst]
incident = "availability"
severity = "low"
by = ["key"]
when = { any = ["burst"] }
[rule.a-then-b]
incident = "fairness"
severity = "low"
by = ["key"]
when = { sequence = ["a", "b"], within = "5m" }
"""


def work_b_events(count: int, *, seed: int = 2) -> Iterator[tuple[str, str, int]]:
    """(type, key, microseconds), in order, about twelve events a second: two of a key in three minutes."""
    pick = Random(seed)
    at_us = START_S * 1_000_000
    for _ in range(count):
        at_us += pick.randrange(1, 80_000)
        # Some keys are busy, most are not: both bursts and silence come about.
        key = pick.randrange(40) if pick.random() < 0.5 else pick.randrange(KEYS)
        yield pick.choice("xxab"), f"k{key}", at_us


class WorkBReference:
    """The answer by hand: how often each of the two fired."""

    def __init__(self) -> None:
        self.recent: dict[str, deque[int]] = defaultdict(deque)
        self.last_a: dict[str, int] = {}
        self.bursts = self.pairs = 0

    def feed(self, kind: str, key: str, at_us: int) -> None:
        if kind == "x":
            recent = self.recent[key]
            recent.append(at_us)
            while recent[0] < at_us - 60_000_000:
                recent.popleft()
            if len(recent) >= 5:
                self.bursts += 1
                recent.clear()
        elif kind == "a":
            self.last_a[key] = at_us
        elif key in self.last_a and at_us - self.last_a[key] <= 300_000_000:
            self.pairs += 1
            del self.last_a[key]

"""Honest clients and copies of a model by its answers, against the shipped rule `extraction-pattern`, on two halves.

    PYTHONPATH=. .venv/bin/python benchmarks/detectors/extraction.py chosen      # by these the bound was chosen
    PYTHONPATH=. .venv/bin/python benchmarks/detectors/extraction.py held-out    # these had no say in it

The halves share neither digits nor seeds nor days. A client-day of digits is about 300 queries of one client, one a
minute, of the network of `digits.py`; those of `fraud` and `vision` are clients in the days of tests/support/benign.py.
Jacobian augmentation is that of Papernot et al. (2017): 20 to 100 natural digits, a substitute trained on the answers,
each query so far moved by lambda along the sign of the substitute's gradient towards its answer, and so on, up to 600
queries, one a second; `away` goes away from the answer, `alternating` turns each round, `true gradient` is that of the
model. `lowest` is the smallest normality that `query-spread` saw, `found` how often the rule opened an incident, and
`after` the queries until then.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from actions.table import load_catalogue
from benchmarks.detectors.digits import TRAINED, Floats, forward, gradient, load, train
from demo.network import PIXEL_MAX, Network
from engine.clock import format_time
from engine.detectors.contract import Observation
from engine.detectors.query_spread import QuerySpread, QuerySpreadParams
from engine.detectors.table import DETECTORS
from engine.model import Event
from engine.replay import Replay
from engine.rulefile.load import load_rules
from engine.rulefile.rules import RuleSet
from tests.support.benign import START_US, benign_day

ROOT = Path(__file__).resolve().parents[2]
RULE = "extraction-pattern"
HALVES = {"chosen": 0, "held-out": 1}
RUNS, DAY_QUERIES, ATTACK_QUERIES = 20, 300, 600
LAMBDAS, SOME = (0.05, 0.1, 0.15, 0.2, 0.3), (0.05, 0.1, 0.2)
JITTER = 0.03
"""Standard deviation of the pixels of a near-duplicate, of a range of 0 to 1."""
IMAGES, LABELS = load()
NETWORK = train(IMAGES, LABELS)


class Judged(NamedTuple):
    """What came of one client's events: the smallest normality, and the queries until the rule's first incident."""

    lowest: float
    after: int | None


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in HALVES:
        sys.exit(__doc__)
    half, rules = HALVES[sys.argv[1]], shipped()
    print("| honest clients | client-days | lowest | false alarms |\n|---|---:|---:|---:|")
    for kind, days in benign(half).items():
        row(kind, [judged(rules, day) for day in days], min)
    for number, (kind, day) in enumerate(HONEST.items()):
        rngs = [np.random.default_rng([seed, half, number]) for seed in range(RUNS)]
        row(kind, [judged(rules, answered(day(rng, half), every_s=60)) for rng in rngs], min)
    print("\n| attack | runs | lowest, median | found | after, median |\n|---|---:|---:|---:|---:|")
    for kind, (attack, steps, every_s) in ATTACKS.items():
        for step in steps:
            rngs = [np.random.default_rng([seed, half, 77]) for seed in range(RUNS)]
            name = f"{kind}, lambda {step}" if len(steps) > 1 else kind
            row(name, [judged(rules, answered(attack(rng, half, step), every_s=every_s)) for rng in rngs], median)


def row(name: str, runs: Sequence[Judged], lowest: Callable[[list[float]], float]) -> None:
    found = [run.after for run in runs if run.after is not None]
    after = f" {median(found):.0f} |" if found and lowest is median else " |" if lowest is median else ""
    print(f"| {name} | {len(runs)} | {lowest([run.lowest for run in runs]):.3f} | {len(found)} |{after}", flush=True)


def shipped() -> RuleSet:
    paths = [ROOT / "rules/inference/model-extraction.toml", ROOT / "rules/site.toml"]
    rules, found = load_rules(paths, catalogue=load_catalogue().catalogue, detectors=DETECTORS)
    assert rules is not None, found
    return rules


def judged(rules: RuleSet, events: Sequence[Event]) -> Judged:
    """By the rule, through the whole core, and by the detector alone with a bound that everything passes."""
    detector, lowest = QuerySpread(QuerySpreadParams(below=1 - 1e-9)), 1.0
    for event in events:
        of = {"vector": event.data["features"], "label": str(event.data["label"])}
        finding = detector.update(Observation(event.time_us, event.id, event.source, of=of))
        lowest = lowest if finding is None or finding.value is None else min(lowest, finding.value)
    lines = [line.fields for line in Replay(rules, events).lines() if line.kind == "incident"]
    at = next((line["at"] for line in lines if line["rule"] == RULE), None)
    times = [format_time(event.time_us) for event in events]
    return Judged(lowest, None if at is None else times.index(str(at)) + 1)


def answered(inputs: Sequence[Floats], *, every_s: int) -> list[Event]:
    """The answers of the network as events of one client, with the input as a vector of length 1."""
    says = labels_of(inputs)
    events = []
    for number, (each, label) in enumerate(zip(inputs, says, strict=True)):
        features = [round(float(value), 5) for value in each / np.linalg.norm(each)]
        data = {"client": "c", "features": features, "label": int(label)}
        at_us = START_US + number * every_s * 1_000_000
        events.append(
            Event(id=f"e{number}", source="/g", type="inference.response", time_us=at_us, subject="m", data=data)
        )
    return events


def labels_of(inputs: Sequence[Floats] | Floats) -> Floats:
    return forward(NETWORK, np.array(inputs))[1].argmax(axis=1)


def benign(half: int) -> dict[str, list[list[Event]]]:
    """The client-days of the days of the tests that have vectors, by kind."""
    days: dict[str, list[list[Event]]] = {"`fraud`": [], "`vision`": [], "a poller": []}
    for seed in range(RUNS):
        clients: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in benign_day(1_000 * half + 50 + seed):
            if (
                event.type == "inference.response"
                and {"features", "label", "client"} <= event.data.keys()
                and event.subject
            ):
                clients[event.subject, event.data["client"]].append(event)
        for (model, client), events in clients.items():
            days["a poller" if client == "poller" else f"`{model}`"].append(events)
    return days


# Honest clients: a generator and the half to the inputs of a day.


def pool(half: int) -> Floats:
    return np.arange(len(IMAGES))[half::2]


def drawn(rng: np.random.Generator, half: int, share: Floats) -> list[Floats]:
    """Digits of the half, none twice, each class by its share."""
    places = pool(half)
    weight = share[LABELS[places]] / np.bincount(LABELS[places], minlength=10)[LABELS[places]]
    some = int((weight > 1e-12).sum())
    return list(IMAGES[rng.choice(places, min(DAY_QUERIES, some), replace=False, p=weight / weight.sum())])


def plain(rng: np.random.Generator, half: int) -> list[Floats]:
    return drawn(rng, half, np.full(10, 0.1))


def skewed(rng: np.random.Generator, half: int) -> list[Floats]:
    return drawn(rng, half, rng.dirichlet(np.full(10, 0.3)))


def two_classes(rng: np.random.Generator, half: int) -> list[Floats]:
    return drawn(rng, half, np.isin(np.arange(10), rng.choice(10, 2, replace=False)) / 2)


def retried(rng: np.random.Generator, asked: list[Floats]) -> list[Floats]:
    """One in seven once to three times more, at once."""
    return [each for each in asked for _ in range(1 + int(rng.integers(1, 4)) * int(rng.random() < 0.15))]


def popular(rng: np.random.Generator, half: int) -> list[Floats]:
    few = IMAGES[rng.choice(pool(half), 15)]
    return [few[rng.integers(15)] if rng.random() < 0.35 else each for each in plain(rng, half)]


def late(rng: np.random.Generator, half: int) -> list[Floats]:
    """One in five is followed by one that was asked before, at any time."""
    asked: list[Floats] = []
    for each in plain(rng, half):
        asked.append(each)
        if rng.random() < 0.2:
            asked.append(asked[int(rng.integers(len(asked)))])
    return asked


def near(rng: np.random.Generator, each: Floats) -> Floats:
    return np.clip(each + rng.normal(0.0, JITTER, 64) * (each > 0), 0.0, 1.0)


def nearly(rng: np.random.Generator, half: int, share: float) -> list[Floats]:
    """This share is followed by nearly the same."""
    pairs = [[each, near(rng, each)] if rng.random() < share else [each] for each in plain(rng, half)]
    return [each for pair in pairs for each in pair]


def by_class(rng: np.random.Generator, half: int) -> list[Floats]:
    asked = plain(rng, half)
    return [asked[place] for place in np.argsort(labels_of(asked), kind="stable")]


def turns(rng: np.random.Generator, half: int) -> list[Floats]:
    """From all classes to one."""
    return plain(rng, half)[:150] + drawn(rng, half, np.eye(10)[rng.integers(10)])[:80]


def noisy(rng: np.random.Generator, half: int) -> list[Floats]:
    """From half-way on the inputs are noisy, as of a new source."""
    asked = plain(rng, half)
    return asked[:150] + [np.clip(each + rng.normal(0.0, 0.1, 64), 0.0, 1.0) for each in asked[150:]]


def bursts(rng: np.random.Generator, half: int) -> list[Floats]:
    """Three to seven of nearly the same in a row."""
    return [near(rng, each) for each in plain(rng, half)[:60] for _ in range(int(rng.integers(3, 8)))]


HONEST: dict[str, Callable[[np.random.Generator, int], list[Floats]]] = {
    "digits": plain,
    "digits, skewed classes": skewed,
    "digits, two classes": two_classes,
    "digits, retries": lambda rng, half: retried(rng, plain(rng, half)),
    "digits, skewed classes and retries": lambda rng, half: retried(rng, skewed(rng, half)),
    "digits, a third of 15 popular ones": popular,
    "digits, repeats at any time": late,
    "digits, near-duplicates, 2 %": lambda rng, half: nearly(rng, half, 0.02),
    "digits, near-duplicates, 10 %": lambda rng, half: nearly(rng, half, 0.1),
    "digits, near-duplicates, 20 %": lambda rng, half: nearly(rng, half, 0.2),
    "digits, class after class": by_class,
    "digits, turns to one class": turns,
    "digits, turns noisy": noisy,
    "digits, bursts of nearly the same": bursts,
}


# Attacks: a generator, the half and lambda to the queries.


def jacobian(
    rng: np.random.Generator,
    half: int,
    step: float,
    *,
    sign: float = -1.0,
    turn: float = 1.0,
    uneven: bool = False,
    true: bool = False,
) -> list[Floats]:
    places = pool(half)
    known = IMAGES[rng.choice(places[places >= TRAINED], int(rng.integers(20, 101)), replace=False)]
    asked = list(known)
    for number in range(4):
        substitute, says = NETWORK if true else Network(seed=int(rng.integers(1_000_000))), labels_of(known)
        for _ in range(0 if true else 150):
            batch = rng.integers(0, len(known), 32)
            substitute.step((known[batch] * PIXEL_MAX).astype(np.uint8), says[batch].astype(np.uint8))
        length = step * rng.uniform(0.2, 1.8, (len(known), 1)) if uneven else step
        fresh = np.clip(known + sign * turn**number * length * np.sign(gradient(substitute, known, says)), 0.0, 1.0)
        if number >= 2:  # from then on some of them only (the reservoir of the paper)
            fresh = rng.permutation(fresh)[:150]
        asked += list(fresh)
        known = np.vstack([known, fresh])
    return asked[:ATTACK_QUERIES]


def decoyed(rng: np.random.Generator, half: int, step: float) -> list[Floats]:
    """As many natural digits, not asked before, in between."""
    asked = jacobian(rng, half, step)
    return [each for pair in zip(asked, plain(rng, half), strict=False) for each in pair]


def natural(rng: np.random.Generator, half: int, step: float) -> list[Floats]:
    del step
    return plain(rng, half)


def lines(rng: np.random.Generator, half: int, step: float) -> list[Floats]:
    """Ten even steps each from one digit to another."""
    del step
    ends = plain(rng, half)
    return [a + (b - a) * part / 10 for a, b in zip(ends[:60:2], ends[1:60:2], strict=True) for part in range(11)]


ATTACKS: dict[str, tuple[Callable[[np.random.Generator, int, float], list[Floats]], Sequence[float], int]] = {
    "Jacobian augmentation": (jacobian, LAMBDAS, 1),
    "away": (partial(jacobian, sign=1.0), LAMBDAS, 1),
    "alternating": (partial(jacobian, turn=-1.0), LAMBDAS, 1),
    "away, true gradient": (partial(jacobian, sign=1.0, true=True), LAMBDAS, 1),
    "each query with a step of its own": (partial(jacobian, uneven=True), SOME, 1),
    "half of them natural digits": (decoyed, SOME, 1),
    "one of four clients that share it": (lambda rng, half, step: jacobian(rng, half, step)[::4], SOME, 1),
    "lambda 0.1, one query in ten minutes": (jacobian, (0.1,), 600),
    "along lines": (lines, (0.1,), 1),
    "natural digits alone": (natural, (0.1,), 1),
}


if __name__ == "__main__":
    main()

"""Scores `likelihood` on the Numenta Anomaly Benchmark: its 58 traces to one figure by its standard profile.

    PYTHONPATH=. .venv/bin/python benchmarks/detectors/nab.py [NAB]     (or the environment's NAB)

`NAB` is a copy of github.com/numenta/NAB (commit ea702d7 was used). Everything is streaming and with one setting for
all traces. The first line scores each category with the bound that serves the other categories best, the other settings
as shipped; the second chooses all settings so, out of GRID and LEARNING. Peers are the result files that come with NAB
(their bound was chosen on the very traces they are scored on); they also hold this file's scoring against NAB's own
published figures. That the quick way to alarms here is the detector's own is checked on each trace.
"""

import csv
import itertools
import json
import math
import os
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from engine.detectors import likelihood
from engine.detectors.contract import Observation
from engine.detectors.likelihood import Likelihood, LikelihoodParams

FALSE_ALARM = 0.11
"""What a false alarm costs in the standard profile; a window found gives at most 1, one missed costs 1."""
BOUNDS = [round(1.0 + 0.05 * step, 2) for step in range(41)]
"""The bounds from which one is chosen."""
PEERS = ("numenta", "contextOSE", "knncad", "relativeEntropy", "twitterADVec", "windowedGaussian", "expose")


SettingT = TypeVar("SettingT")


class Setting(NamedTuple):
    """What turns ratios into alarms: parameters of the same names."""

    above: float = LikelihoodParams().above
    refractory: int = LikelihoodParams().refractory
    rise: float = LikelihoodParams().rise
    fade: int = LikelihoodParams().fade


class Learning(NamedTuple):
    """What the ratios come from: the parameter `memory`, and two constants of the detector."""

    memory: int = LikelihoodParams().memory
    near: int = likelihood.NEAR
    rare: float = likelihood.RARE


GRID = [
    Setting(*each)
    for each in itertools.product(
        (1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0), (50, 100, 200), (0.0, 0.05, 0.1, 0.2), (2_000, 5_000)
    )
]
LEARNING = [
    Learning(),
    *(Learning(memory=each) for each in (1_500, 6_000)),
    *(Learning(near=each) for each in (12, 48)),
    *(Learning(rare=each) for each in (0.0025, 0.01)),
]


class Trace(NamedTuple):
    """A trace with its labels: values, and the windows as first and last place."""

    name: str
    stamps: list[str]
    values: list[float]
    windows: list[tuple[int, int]]

    @property
    def category(self) -> str:
        return self.name.split("/")[0]

    @property
    def start(self) -> int:
        """Where scoring begins: after 15 % of the trace, or of 5,000 values if that is less."""
        return math.ceil(min(math.floor(0.15 * len(self.values)), 0.15 * 5_000))


def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("NAB")
    if not given or not (Path(given) / "labels/combined_windows.json").is_file():
        sys.exit("nab: name a copy of github.com/numenta/NAB, as an argument or in the environment's NAB")
    root = Path(given)
    traces = load(root)
    print(f"{len(traces)} traces, {sum(len(trace.values) for trace in traces):,} values")
    print("\n| detector | standard score | settings |\n|---|---|---|")
    ratios = [run(trace) for trace in traces]
    check(traces, ratios)
    total, chosen = held_out(traces, {Setting(bound): alarms_of(ratios, Setting(bound)) for bound in BOUNDS})
    bounds = ", ".join(map(str, sorted({each.above for each in chosen.values()})))
    print(f"| likelihood | {total:.1f} | bound chosen on the other categories ({bounds}) |", flush=True)
    everything: dict[object, list[list[int]]] = {}
    for learning in LEARNING:
        with learnt(learning):
            these = [run(trace, learning.memory) for trace in traces]
        everything |= {(learning, setting): alarms_of(these, setting) for setting in GRID}
    total, each_chosen = held_out(traces, everything)
    print(f"| likelihood | {total:.1f} | all {len(everything):,} chosen from on the other categories, below |")
    shipped = normal(traces, alarms_of(ratios, Setting()))
    print(f"| likelihood as shipped | {shipped:.1f} | {Setting()}, chosen on all |", flush=True)
    published = json.loads((root / "results/final_results.json").read_text())
    thresholds = json.loads((root / "config/thresholds.json").read_text())
    for peer in PEERS:
        bound = thresholds[peer]["standard"]["threshold"]
        score = normal(traces, [alarms_of_peer(root, peer, trace, bound) for trace in traces])
        said = published[peer]["standard"]
        print(f"| {peer} | {score:.1f} (published {said:.1f}) | bound chosen on the traces scored |")
    print()
    for category, setting in each_chosen.items():
        print(f"{category}: {setting}")


def load(root: Path) -> list[Trace]:
    """All traces of a copy of NAB with their windows."""
    windows = json.loads((root / "labels/combined_windows.json").read_text())
    traces = []
    for name in sorted(windows):
        with (root / "data" / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        stamps = [row["timestamp"] for row in rows]
        places = [
            (stamps.index(first.split(".")[0]), stamps.index(last.split(".")[0])) for first, last in windows[name]
        ]
        traces.append(Trace(name, stamps, [float(row["value"]) for row in rows], places))
    return traces


@contextmanager
def learnt(learning: Learning) -> Iterator[None]:
    """The detector with other constants, for a while."""
    likelihood.NEAR, likelihood.RARE = learning.near, learning.rare
    try:
        yield
    finally:
        likelihood.NEAR, likelihood.RARE = Learning().near, Learning().rare


def run(trace: Trace, memory: int = Learning().memory) -> list[tuple[int, float]]:
    """Where the lowest bound is passed and by which ratio, one value at a time; what it learns depends on no bound."""
    detector = Likelihood(LikelihoodParams(above=min(BOUNDS), refractory=0, rise=0.0, memory=memory))
    found = ((place, detector.update(Observation(place, "", "", value))) for place, value in enumerate(trace.values))
    return [(place, finding.value) for place, finding in found if finding is not None and finding.value is not None]


def alarms_of(ratios: list[list[tuple[int, float]]], setting: Setting) -> list[list[int]]:
    return [alarms(each, setting) for each in ratios]


def alarms(ratios: list[tuple[int, float]], setting: Setting) -> list[int]:
    """The places at which a detector of this setting has a finding."""
    places: list[int] = []
    risen, last = 0.0, 0
    for place, ratio in ratios:
        if ratio <= setting.above or (places and place - places[-1] <= setting.refractory):
            continue
        risen, last = risen * math.exp(-(place - last) / setting.fade), place
        if ratio > setting.above * (1.0 + setting.rise * risen):
            places.append(place)
            risen += 1.0
    return places


def check(traces: list[Trace], ratios: list[list[tuple[int, float]]]) -> None:
    """The alarms reckoned from ratios are those of the detector as shipped."""
    for trace, each in zip(traces, ratios, strict=True):
        detector = Likelihood(LikelihoodParams())
        own = [
            place
            for place, value in enumerate(trace.values)
            if detector.update(Observation(place, "", "", value)) is not None
        ]
        assert own == alarms(each, Setting()), trace.name


def alarms_of_peer(root: Path, peer: str, trace: Trace, bound: float) -> list[int]:
    """The places at which a peer's recorded score reached its bound."""
    category, name = trace.name.split("/")
    with (root / "results" / peer / category / f"{peer}_{name}").open(newline="") as file:
        return [place for place, row in enumerate(csv.DictReader(file)) if float(row["anomaly_score"]) >= bound]


def score(trace: Trace, alarms: list[int]) -> float:
    """NAB's raw score of one trace: 1 for an alarm at the start of a window, falling to 0 at its end; 0.11 off for a
    false alarm, less right after a window; 1 off for a window missed."""
    alarms = [place for place in alarms if place >= trace.start]
    ends = [last for _, last in trace.windows]
    total = 0.0
    for first, last in trace.windows:
        inside = alarms[bisect_left(alarms, first) : bisect_right(alarms, last)]
        width = last - first + 1
        total += max((_sigmoid(-(last - place + 1) / width) / _sigmoid(-1.0) for place in inside), default=-1.0)
        if not any(place >= trace.start for place in range(first, last + 1)):
            total += 1.0  # a window that lies in the part not scored can't be missed
    for place in alarms:
        before = bisect_left(ends, place) - 1
        if any(first <= place <= last for first, last in trace.windows):
            continue
        if before < 0:
            total -= FALSE_ALARM
        else:
            first, last = trace.windows[before]
            total += FALSE_ALARM * _sigmoid((place - last) / (last - first))
    return total


def _sigmoid(position: float) -> float:
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def normal(traces: list[Trace], found: list[list[int]]) -> float:
    """The raw scores as NAB reports them: 0 for silence, 100 for every window found at its start and nothing else."""
    return _normal(traces, sum(map(score, traces, found)))


def _normal(traces: list[Trace], total: float) -> float:
    windows = sum(len(trace.windows) for trace in traces)
    return 100.0 * (total + windows) / (2.0 * windows)


def held_out(traces: list[Trace], found: dict[SettingT, list[list[int]]]) -> tuple[float, dict[str, SettingT]]:
    """The score when each category is scored with the setting that is best on all the others, and those settings."""
    categories = sorted({trace.category for trace in traces})
    scores: dict[SettingT, dict[str, float]] = {}
    for setting, each in found.items():
        scores[setting] = dict.fromkeys(categories, 0.0)
        for trace, alarms in zip(traces, each, strict=True):
            scores[setting][trace.category] += score(trace, alarms)
    total, chosen = 0.0, {}
    for category in categories:
        best = max(scores, key=lambda each, own=category: sum(scores[each].values()) - scores[each][own])
        chosen[category], total = best, total + scores[best][category]
    return _normal(traces, total), chosen


if __name__ == "__main__":
    main()

"""Scores `likelihood` on the Numenta Anomaly Benchmark: its 58 traces to one figure by its standard profile.

    PYTHONPATH=. .venv/bin/python benchmarks/detectors/nab.py NAB

`NAB` is a copy of github.com/numenta/NAB (commit ea702d7 was used). Everything is streaming and with one setting; the
bound with which a category is scored is the one that serves the other categories best. Peers are the result files that
come with NAB (their bound was chosen on the very traces they are scored on); they also hold this file's scoring
against NAB's own published figures.
"""

import csv
import json
import math
import sys
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import NamedTuple

from engine.detectors.contract import Observation
from engine.detectors.likelihood import Likelihood, LikelihoodParams

FALSE_ALARM = 0.11
"""What a false alarm costs in the standard profile; a window found gives at most 1, one missed costs 1."""
BOUNDS = [round(1.0 + 0.05 * step, 2) for step in range(41)]
"""The bounds from which one is chosen."""
PEERS = ("numenta", "contextOSE", "knncad", "relativeEntropy", "twitterADVec", "windowedGaussian", "expose")


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
    root = Path(sys.argv[1])
    traces = load(root)
    print(f"{len(traces)} traces, {sum(len(trace.values) for trace in traces):,} values")
    print("\n| detector | standard score | bound chosen |\n|---|---|---|")
    ratios = [run(trace) for trace in traces]
    total, chosen = held_out(traces, {bound: [alarms(each, bound) for each in ratios] for bound in BOUNDS})
    print(
        f"| likelihood | {total:.1f} | on the other categories: {', '.join(map(str, sorted(set(chosen.values()))))} |"
    )
    default = LikelihoodParams().above
    shipped = normal(traces, [alarms(each, default) for each in ratios])
    print(f"| likelihood as shipped | {shipped:.1f} | {default}, chosen on all |")
    published = json.loads((root / "results/final_results.json").read_text())
    thresholds = json.loads((root / "config/thresholds.json").read_text())
    for peer in PEERS:
        bound = thresholds[peer]["standard"]["threshold"]
        score = normal(traces, [alarms_of_peer(root, peer, trace, bound) for trace in traces])
        print(f"| {peer} | {score:.1f} (published {published[peer]['standard']:.1f}) | on the traces scored |")


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


def run(trace: Trace) -> list[tuple[int, float]]:
    """Where the lowest bound is passed and by which ratio, one value at a time; what it learns depends on no bound."""
    detector = Likelihood(LikelihoodParams(above=min(BOUNDS), refractory=0))
    found = ((place, detector.update(Observation(place, "", "", value))) for place, value in enumerate(trace.values))
    return [(place, finding.value) for place, finding in found if finding is not None]


def alarms(ratios: list[tuple[int, float]], bound: float) -> list[int]:
    """The places at which a detector with this bound and the refractory period as shipped has a finding."""
    refractory, places = LikelihoodParams().refractory, []
    for place, ratio in ratios:
        if ratio > bound and (not places or place - places[-1] > refractory):
            places.append(place)
    return places


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


def held_out(traces: list[Trace], found: dict[float, list[list[int]]]) -> tuple[float, dict[str, float]]:
    """The score when each category is scored with the bound that is best on all the others, and those bounds."""
    scores = {bound: list(map(score, traces, each)) for bound, each in found.items()}
    total, chosen = 0.0, {}
    for category in sorted({trace.category for trace in traces}):
        mine = [trace.category == category for trace in traces]

        def elsewhere(bound: float, mine: list[bool] = mine) -> float:
            return sum(each for each, own in zip(scores[bound], mine, strict=True) if not own)

        chosen[category] = max(scores, key=elsewhere)
        total += sum(each for each, own in zip(scores[chosen[category]], mine, strict=True) if own)
    return _normal(traces, total), chosen


if __name__ == "__main__":
    main()

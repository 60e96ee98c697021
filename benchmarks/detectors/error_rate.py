"""Steps in an error rate: how long `bernoulli-cusum` takes beside river's ADWIN, and how often each alarms for nothing.

    PYTHONPATH=. .venv/bin/python benchmarks/detectors/error_rate.py

Outcomes are independent; the step comes after 10,000 of them; seeds are 0 to STREAMS - 1. The first finding at or after
the step counts as the detection, all before it as false alarms (`rate known` is told the rate, which ADWIN can't be).

`both rates known` is the least delay that there is at FALSE_MAX false alarms: the procedure of Shiryaev and Roberts for
just this step, which no other can beat on average once it has run for long (Pollak and Tartakovsky, 2009, Optimality
Properties of the Shiryaev-Roberts Procedure, Statistica Sinica 19). Its bound is found by simulation.
"""

from collections.abc import Callable, Iterable
from statistics import mean, median

import numpy as np

from engine.detectors.bernoulli_cusum import BernoulliCusum, BernoulliCusumParams
from engine.detectors.contract import Observation

STREAMS = 400
ORACLE_STREAMS = 4_000
FALSE_MAX = 0.1
"""False alarms in 20,000 outcomes."""
BEFORE, AFTER = 10_000, 10_000
STEPS = ((0.02, 0.05), (0.05, 0.10), (0.01, 0.20))
Watch = Callable[[bool], bool]


def main() -> None:
    peers: list[tuple[str, Callable[[float], Watch]]] = [
        ("bernoulli-cusum", lambda _: ours(BernoulliCusumParams())),
        ("bernoulli-cusum, rate known", lambda rate: ours(BernoulliCusumParams(rate=rate))),
    ]
    try:
        from river import drift  # a peer, not a dependency
    except ImportError:
        print("river: not installed (`uv sync --group bench` or `pip install river`), left out")
    else:
        peers.append(("river ADWIN", lambda _: adwin(drift.ADWIN())))
    print("| detector | step | mean delay | median | missed | false alarms per 20,000 |\n|---|---|---|---|---|---|")
    for before, after in STEPS:
        for name, make in peers:
            runs = [run(make(before), outcomes(seed, before, after)) for seed in range(STREAMS)]
            delays = [delay for _, delay in runs if delay is not None]
            false = sum(count for count, _ in runs) / (STREAMS * BEFORE) * 20_000
            step = f"{before:.0%} to {after:.0%}"
            missed = STREAMS - len(delays)
            print(
                f"| {name} | {step} | {mean(delays):.0f} | {median(delays):.0f} | {missed} | {false:.2f} |", flush=True
            )
        delay, middle, false = least(before, after)
        print(f"| both rates known | {before:.0%} to {after:.0%} | {delay:.0f} | {middle:.0f} | 0 | {false:.2f} |")


def ours(params: BernoulliCusumParams) -> Watch:
    detector = BernoulliCusum(params)
    return lambda hit: detector.update(Observation(0, "", "", of=hit)) is not None


def adwin(detector: object) -> Watch:
    def watch(hit: bool) -> bool:  # noqa: FBT001
        detector.update(float(hit))
        return bool(detector.drift_detected)

    return watch


def outcomes(seed: int, before: float, after: float) -> list[bool]:
    rng = np.random.default_rng(seed)
    return [*(rng.random(BEFORE) < before).tolist(), *(rng.random(AFTER) < after).tolist()]


def run(watch: Watch, hits: Iterable[bool]) -> tuple[int, int | None]:
    """False alarms before the step, and outcomes from the step to the first finding after it."""
    false = 0
    for place, hit in enumerate(hits):
        if not watch(hit):
            continue
        if place >= BEFORE:
            return false, place - BEFORE + 1
        false += 1
    return false, None


def least(before: float, after: float) -> tuple[float, float, float]:
    """Mean and median delay of the best procedure that knows both rates, and its false alarms per 20,000."""
    low, high = 1e4, 1e6
    for _ in range(12):
        middle = (low * high) ** 0.5
        if shiryaev_roberts(before, after, middle)[2] > FALSE_MAX:
            low = middle
        else:
            high = middle
    return shiryaev_roberts(before, after, high)


def shiryaev_roberts(before: float, after: float, bound: float) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    yes, no = after / before, (1.0 - after) / (1.0 - before)
    ratios, delays, false = np.zeros(ORACLE_STREAMS), np.zeros(ORACLE_STREAMS), 0
    for place in range(BEFORE + AFTER):
        hits = rng.random(ORACLE_STREAMS) < (before if place < BEFORE else after)
        ratios = (1.0 + ratios) * np.where(hits, yes, no)
        found = ratios > bound
        if place < BEFORE:
            false += int(found.sum())
            ratios[found] = 0.0
        else:
            delays[found & (delays == 0)] = place - BEFORE + 1
            if delays.all():
                break
    return float(delays.mean()), float(np.median(delays)), false / (ORACLE_STREAMS * BEFORE) * 20_000


if __name__ == "__main__":
    main()

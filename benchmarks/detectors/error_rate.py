"""Steps in an error rate: how long `bernoulli-cusum` takes beside river's ADWIN, and how often each alarms for nothing.

    PYTHONPATH=. .venv/bin/python benchmarks/detectors/error_rate.py

Outcomes are independent; the step comes after 10,000 of them; seeds are 0 to STREAMS - 1. The first finding at or after
the step counts as the detection, all before it as false alarms (`rate known` is told the rate, which ADWIN can't be).
"""

from collections.abc import Callable, Iterable
from statistics import mean, median

import numpy as np

from engine.detectors.bernoulli_cusum import BernoulliCusum, BernoulliCusumParams
from engine.detectors.contract import Observation

STREAMS = 100
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


if __name__ == "__main__":
    main()

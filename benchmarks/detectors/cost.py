"""What each detector costs: microseconds per update and bytes per key, beside river's where it has the same method.

    PYTHONPATH=. .venv/bin/python benchmarks/detectors/cost.py

Each gets UPDATES observations made before the clock starts, with the parameters of tests/detectors/test_streams.py; the
best of ROUNDS rounds counts, in processor time. Bytes are the length of the dumped state after them (river: of its
pickle). Fixed seeds. `a method that does nothing` is the least that one call of a Python method takes.
"""

import pickle
import sys
from collections.abc import Callable
from time import process_time
from typing import Any

import numpy as np

from engine.detectors.contract import Observation
from engine.detectors.table import DETECTORS
from tests.detectors.test_streams import make, of_for

UPDATES, ROUNDS = 3_000, 7
PEERS = {
    "adwin": "drift.ADWIN",
    "page-hinkley": "drift.PageHinkley",
    "ks": "drift.KSWIN",
    "mean": "stats.Mean",
    "quantile": "stats.RollingQuantile",
    "ewma": "stats.EWMean",
    "robust-z": "anomaly.GaussianScorer",
}


def main() -> None:
    print(f"Python {sys.version.split()[0]}, {UPDATES:,} updates, best of {ROUNDS} rounds\n")
    print("| detector | µs per update | bytes per key | river | µs per update | bytes | river's / ours |")
    print("|---|---|---|---|---|---|---|")
    nothing, _ = measure(Nothing, lambda each: each.update, observations("threshold"), lambda _: 0)
    print(f"| a method that does nothing | {nothing:.2f} | – | – | – | – | – |")
    for method in sorted(DETECTORS.methods):
        seen = observations(method)
        us, size = measure(
            lambda name=method: make(name), lambda each: each.update, seen, lambda each: len(each.dump())
        )
        print(f"| `{method}` | {us:.2f} | {size:,} | {peer(method, us)} |", flush=True)


class Nothing:
    def update(self, observation: Observation) -> None:
        pass


def observations(method: str) -> list[Observation]:
    rng = np.random.default_rng(7)
    return [
        Observation(
            place * 1_000_000, f"event-{place}", "bench", float(rng.normal(10, 1)), of_for(method, place % 500, rng)
        )
        for place in range(UPDATES)
    ]


def peer(method: str, own_us: float) -> str:
    name = PEERS.get(method)
    if name is None:
        return "– | – | – | –"
    try:
        import river  # a peer, not a dependency
        from river import anomaly, drift, stats
    except ImportError:
        return f"{name}: not installed | | | "
    make_peer = {
        "drift.ADWIN": drift.ADWIN,
        "drift.PageHinkley": drift.PageHinkley,
        "drift.KSWIN": lambda: drift.KSWIN(seed=1),
        "stats.Mean": stats.Mean,
        "stats.RollingQuantile": lambda: stats.RollingQuantile(0.9, window_size=1_000),
        "stats.EWMean": stats.EWMean,
        "anomaly.GaussianScorer": anomaly.GaussianScorer,
    }[name]

    def step(each: Any) -> Callable[[float], Any]:
        if name.startswith("anomaly"):
            return lambda value: (each.score_one(None, value), each.learn_one(None, value))
        if name.startswith("stats"):
            return lambda value: (each.update(value), each.get())
        return lambda value: (each.update(value), each.drift_detected)

    values = [each.value for each in observations(method)]
    us, size = measure(make_peer, step, values, lambda each: len(pickle.dumps(each)))
    return f"{name} {river.__version__} | {us:.2f} | {size:,} | {us / own_us:.2f}"


def measure(
    fresh: Callable[[], Any], step: Callable[[Any], Callable[[Any], Any]], given: list[Any], size: Callable[[Any], int]
) -> tuple[float, int]:
    """The best time per item in µs, and the size afterwards."""
    best, last = float("inf"), None
    for _ in range(ROUNDS):
        last = fresh()
        update = step(last)
        start = process_time()
        for each in given:
            update(each)
        best = min(best, process_time() - start)
    return best / len(given) * 1e6, size(last)


if __name__ == "__main__":
    main()

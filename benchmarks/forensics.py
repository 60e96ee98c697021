"""Prints the figures of docs/forensics.md: poison, labels and weights on real digits, and time on large files.

OPENBLAS_NUM_THREADS=1 PYTHONPATH=. .venv/bin/python benchmarks/forensics.py
"""

import pickle
import tempfile
import time
from pathlib import Path

import numpy as np

from engine.forensics.integrity import examine_integrity
from engine.forensics.labels import find_label_errors, knn_probabilities
from engine.forensics.pickles import examine_pickle
from engine.forensics.poisoning import examine_poison
from tests.forensics.test_weights import compare, pairs
from tests.support.digits import IMAGES, LABELS, auc, backdoored, flipped


def main():
    poison()
    labels()
    with tempfile.TemporaryDirectory() as folder:
        weights(Path(folder))
        speed(Path(folder))


def poison():
    print("poison: trigger, rate, least recall, most false positives over 10 targets")
    for name, trigger in (("four pixels", (54, 55, 62, 63)), ("one pixel", (63,))):
        for rate in (0.05, 0.1, 0.2):
            rows = []
            for target in range(10):
                images, given, poisoned = backdoored(rate, target=target, seed=target, trigger=trigger)
                flagged = np.zeros(len(given), bool)
                flagged[examine_poison(images.astype(float), given, subject="")[1]] = True
                rows.append((flagged[poisoned].mean(), flagged[~poisoned].mean()))
            recall, alarms = np.array(rows).T
            print(
                f"  {name}, {rate:.0%}: recall {np.round(np.sort(recall), 3)}, false positives max {alarms.max():.3f}"
            )
    suspects = examine_poison(IMAGES.astype(float), LABELS, subject="")[1]
    print(f"  honest digits: {len(suspects) / len(LABELS):.3f} marked")


def labels():
    rows = []
    for seed in range(40):
        given, wrong = flipped(0.05, seed=seed)
        found = find_label_errors(given, knn_probabilities(IMAGES.astype(float), given))
        rows.append((wrong[found].mean(), wrong[found].sum() / wrong.sum()))
    print(
        "labels: 5 % flipped, 40 draws; least and mean (precision, recall):",
        np.min(rows, axis=0),
        np.mean(rows, axis=0),
    )


def weights(folder):
    found = [(name, compare(folder, start, network)) for seed in range(30) for start, name, network, _ in pairs(seed)]
    bad = [each.score for name, each in found if name == "backdoor"]
    for kind in ("honest", "imbalanced", "without a class"):
        print(f"weights: AUC against {kind}: {auc(bad, [each.score for name, each in found if name == kind]):.3f}")
    print(f"weights: AUC against all: {auc(bad, [each.score for name, each in found if name != 'backdoor']):.3f}")
    print(f"weights: above the threshold: {np.mean(np.array(bad) > 0.5):.2f} of the backdoors,"
          f" {np.mean(np.array([e.score for n, e in found if n != 'backdoor']) > 0.5):.2f} of the honest")  # fmt: skip


def speed(folder):
    (folder / "big").write_bytes(bytes(1 << 29))
    start = time.perf_counter()
    examine_integrity(folder / "big", "0" * 64)
    print(f"integrity: {0.5 / (time.perf_counter() - start):.2f} GiB/s")
    (folder / "a.pkl").write_bytes(pickle.dumps([(each, str(each)) for each in range(200_000)]))
    start = time.perf_counter()
    examine_pickle(folder / "a.pkl")
    print(f"pickle: 200,000 pairs in {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()

"""Prints what cleanlab and the Adversarial Robustness Toolbox find on the inputs of benchmarks/forensics.py.

Run by `make bench`, in .venv-bench, beside Halon. Same draws, same probabilities, same triggers. ART's spectral
signatures look at the activations of a network trained on the poisoned set, and are told the true share of poison in
its class, which nobody knows in earnest: so much, times 1.5, they take from every class. Halon is given the images and
no share.
"""

import importlib

import numpy as np

from engine.forensics.labels import find_label_errors, knn_probabilities
from engine.forensics.poisoning import examine_poison
from tests.support.digits import IMAGES, backdoored, flipped, scores, train

DRAWS = 10
ART_MULTIPLIER = 1.5
"""How many times the expected poison ART takes away: its own default."""


def main():
    labels()
    poison()


def library(name):
    """A peer, or None with a line that says that it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"  {name}: not installed ({error})")
        return None


def labels():
    print(f"labels: 5 % flipped, {DRAWS} draws: least and mean precision, recall")
    cleanlab = library("cleanlab.filter")
    found = {"Halon": [], "cleanlab": []}
    for seed in range(DRAWS):
        given, wrong = flipped(0.05, seed=seed)
        known = knn_probabilities(IMAGES.astype(float), given)
        found["Halon"].append(rates(find_label_errors(given, known), wrong))
        if cleanlab is not None:
            sums = known.sum(axis=1, keepdims=True)
            issues = cleanlab.find_label_issues(given, known / sums, filter_by="confident_learning", n_jobs=1)
            found["cleanlab"].append(rates(np.flatnonzero(issues), wrong))
    show(found)


def poison():
    print("poison: four pixels on 5, 10 and 20 % of all samples, ten targets: least recall, most false positives")
    art = library("art.defences.detector.poison")
    for rate in (0.05, 0.1, 0.2):
        found = {"Halon": [], "ART, spectral signatures": []}
        for target in range(10):
            images, given, poisoned = backdoored(rate, target=target, seed=target)
            suspects = examine_poison(images.astype(float), given, subject="")[1]
            found["Halon"].append(caught(suspects, poisoned))
            if art is not None:
                share = poisoned[given == target].mean()
                hidden = scores(train(images, given, seed=target), images)[0]
                found["ART, spectral signatures"].append(
                    caught(spectral(art.SpectralSignatureDefense, hidden, given, share), poisoned)
                )
        for name, rows in found.items():
            if rows:
                recall, alarms = np.array(rows).T
                print(f"  {rate:.0%} {name}: {recall.min():.3f}, {alarms.max():.3f} (mean {recall.mean():.3f})")


def spectral(defence, hidden, given, share):
    """Of each class, the samples with the highest scores, as many as ART takes."""
    taken = []
    for label in np.unique(given):
        places = np.flatnonzero(given == label)
        ranked = defence.spectral_signature_scores(hidden[places])[:, 0].argsort()[::-1]
        taken += places[ranked[: min(len(places), int(ART_MULTIPLIER * share * len(places)))]].tolist()
    return taken


def rates(found, wrong):
    return wrong[found].mean() if len(found) else 0.0, wrong[found].sum() / wrong.sum()


def caught(suspects, poisoned):
    flagged = np.zeros(len(poisoned), bool)
    flagged[suspects] = True
    return flagged[poisoned].mean(), flagged[~poisoned].mean()


def show(found):
    for name, rows in found.items():
        if rows:
            print(f"  {name}: least {np.round(np.min(rows, axis=0), 3)}, mean {np.round(np.mean(rows, axis=0), 3)}")


if __name__ == "__main__":
    main()

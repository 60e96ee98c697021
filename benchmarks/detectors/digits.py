"""Attacks on a small network that reads handwritten digits: how well the detectors of vectors and of queries see them.

    PYTHONPATH=. .venv/bin/python benchmarks/detectors/digits.py

The network and the digits are the demonstration's (Optical Recognition of Handwritten Digits, UCI); it is trained on
1,200 of them, the detectors learn from these, and attacks start from the rest. Seeds are fixed. `low confidence` is the
largest softmax, which is often proposed. `kNN label` is the share of the 10 nearest training digits that have another
label than the network says. `mahalanobis` looks at the pixels, and in a column of its own at the hidden layer. Plain
attacks light pixels that no digit lights, which is easily seen; `sparing` ones change only pixels that vary among the
digits. The boundary attack (Brendel, Rauber and Bethge 2018) asks the network itself; all its queries are fed, those
that failed too.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from demo.network import PIXEL_MAX, Network
from engine.detectors.contract import Observation
from engine.detectors.mahalanobis import Mahalanobis, MahalanobisParams
from engine.detectors.query_similarity import QuerySimilarity, QuerySimilarityParams
from engine.detectors.query_spread import QuerySpread, QuerySpreadParams

Floats = npt.NDArray[np.float64]
DIGITS = Path(__file__).resolve().parents[2] / "demo/data/optdigits.npz"
TRAINED, ATTACKED, STEPS = 1_200, 400, 2_500
LIVELY = 0.05
EPSILON = 0.15
"""Largest change of a pixel, of a range of 0 to 1."""
CLIENTS, QUERIES = 7, 100


def main() -> None:
    images, labels = load()
    network = train(images, labels)
    held = slice(TRAINED, TRAINED + ATTACKED)
    clean, truth = images[held], labels[held]
    right = forward(network, clean)[1].argmax(axis=1) == truth
    clean, truth = clean[right], truth[right]
    print(f"{right.mean():.1%} of {ATTACKED} held-out digits read right; attacks start from these\n")
    everywhere = np.ones(64)
    lively = (images[:TRAINED].std(axis=0) > LIVELY).astype(float)
    goal = (truth + 1) % 10
    attacks = {
        "FGSM": gradient_attack(network, clean, truth, everywhere, steps=1, targeted=False),
        "PGD, 20 steps": gradient_attack(network, clean, truth, everywhere, steps=20, targeted=False),
        "targeted, high confidence": gradient_attack(network, clean, goal, everywhere, steps=80, targeted=True),
        "FGSM, sparing": gradient_attack(network, clean, truth, lively, steps=1, targeted=False),
        "PGD, sparing": gradient_attack(network, clean, truth, lively, steps=20, targeted=False),
        "targeted, sparing": gradient_attack(network, clean, goal, lively, steps=80, targeted=True),
    }
    print(f"{int(lively.sum())} of 64 pixels vary by more than {LIVELY} among the training digits\n")
    print("| attack | fools | low confidence | mahalanobis | in the hidden layer | kNN label | better |")
    print("|---|---|---|---|---|---|---|")
    for name, attacked in attacks.items():
        says = forward(network, attacked)[1].argmax(axis=1)
        fooled = says == goal if name.startswith("targeted") else says != truth
        figures = [
            auroc(score(network, images, labels, clean), score(network, images, labels, attacked[fooled]))
            for score in (low_confidence, mahalanobis, hidden_mahalanobis, knn_label)
        ]
        cells = " | ".join(f"{each:.3f}" for each in [*figures, max(figures[1], figures[3])])
        print(f"| {name} | {fooled.mean():.0%} | {cells} |", flush=True)
    queries(network, images, labels)


def load() -> tuple[Floats, npt.NDArray[np.int64]]:
    with np.load(DIGITS) as held:
        names = sorted(held.files)
        pictures = next(held[name] for name in names if held[name].ndim == 2)
        labels = next(held[name] for name in names if held[name].ndim == 1 and len(held[name]) == len(pictures))
    order = np.random.default_rng(0).permutation(len(pictures))
    return pictures[order].astype(float) / PIXEL_MAX, labels[order].astype(np.int64)


def train(images: Floats, labels: npt.NDArray[np.int64]) -> Network:
    network, rng = Network(seed=1), np.random.default_rng(2)
    for _ in range(STEPS):
        batch = rng.integers(0, TRAINED, 64)
        network.step((images[batch] * PIXEL_MAX).astype(np.uint8), labels[batch].astype(np.uint8))
    return network


def forward(network: Network, inputs: Floats) -> tuple[Floats, Floats]:
    """Hidden layer and probabilities."""
    w1, b1, w2, b2 = network.weights
    hidden = np.maximum(inputs @ w1 + b1, 0.0)
    logits = hidden @ w2 + b2
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return hidden, odds / odds.sum(axis=1, keepdims=True)


def gradient(network: Network, inputs: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """Of the cross-entropy of `labels` by the pixels."""
    w1, _, w2, _ = network.weights
    hidden, error = forward(network, inputs)
    error[np.arange(len(labels)), labels] -= 1.0
    return ((error @ w2.T) * (hidden > 0)) @ w1.T


def gradient_attack(
    network: Network, clean: Floats, labels: npt.NDArray[np.int64], pixels: Floats, *, steps: int, targeted: bool
) -> Floats:
    """Signed gradient steps on `pixels` within EPSILON (targeted: within three times that, until sure)."""
    reach = 3 * EPSILON if targeted else EPSILON
    size = reach if steps == 1 else 2.5 * reach / steps
    attacked = clean.copy()
    for _ in range(steps):
        attacked += (-1.0 if targeted else 1.0) * size * pixels * np.sign(gradient(network, attacked, labels))
        attacked = np.clip(np.clip(attacked, clean - reach, clean + reach), 0.0, 1.0)
    return attacked


def low_confidence(network: Network, images: Floats, labels: npt.NDArray[np.int64], seen: Floats) -> Floats:
    del images, labels
    return -forward(network, seen)[1].max(axis=1)


def mahalanobis(network: Network, images: Floats, labels: npt.NDArray[np.int64], seen: Floats) -> Floats:
    """By the shipped detector: the value of its finding at a bound that everything passes."""
    return far_out(images[:TRAINED], labels[:TRAINED], seen, forward(network, seen)[1].argmax(axis=1))


def hidden_mahalanobis(network: Network, images: Floats, labels: npt.NDArray[np.int64], seen: Floats) -> Floats:
    """The same in the hidden layer, which is often recommended."""
    inner, odds = forward(network, seen)
    return far_out(forward(network, images[:TRAINED])[0], labels[:TRAINED], inner, odds.argmax(axis=1))


def far_out(known: Floats, labels: npt.NDArray[np.int64], seen: Floats, says: npt.NDArray[np.int64]) -> Floats:
    detector = Mahalanobis(MahalanobisParams(above=1e-9, reference=TRAINED))
    for vector, label in zip(known, labels, strict=True):
        detector.update(Observation(0, "", "", of={"vector": vector.tolist(), "label": int(label)}))
    found = (
        detector.update(Observation(0, "", "", of={"vector": vector.tolist(), "label": int(label)}))
        for vector, label in zip(seen, says, strict=True)
    )
    return np.array([0.0 if finding is None or finding.value is None else finding.value for finding in found])


def knn_label(network: Network, images: Floats, labels: npt.NDArray[np.int64], seen: Floats) -> Floats:
    odds = forward(network, seen)[1]
    squares = ((seen[:, None, :] - images[None, :TRAINED, :]) ** 2).sum(axis=2)
    nearest = np.argpartition(squares, 10, axis=1)[:, :10]
    return np.asarray((labels[nearest] != odds.argmax(axis=1)[:, None]).mean(axis=1))


def auroc(clean: Floats, attacked: Floats) -> float:
    """The chance that an attacked input scores above a clean one; ties count half."""
    above = (attacked[:, None] > clean[None, :]).mean() + 0.5 * (attacked[:, None] == clean[None, :]).mean()
    return float(above)


def queries(network: Network, images: Floats, labels: npt.NDArray[np.int64]) -> None:
    """Attacks by queries, and clients that ask for digits."""
    rng = np.random.default_rng(5)
    start = TRAINED
    typical = np.linalg.norm(images[:300, None, :] - images[None, :300, :], axis=2)
    near = 0.5 * float(np.sort(typical, axis=1)[:, 1:11].mean())
    similarity = lambda: QuerySimilarity(QuerySimilarityParams(below=near))  # noqa: E731
    spread = lambda: QuerySpread(QuerySpreadParams())  # noqa: E731
    print("\n| queries | detector | found after |\n|---|---|---|")
    firsts = [first(network, similarity(), boundary(network, images[start + client], rng)) for client in range(10)]
    print(f"| boundary attack | query-similarity below {near:.2f} | {firsts} |")
    firsts = [first(network, spread(), augmentation(network, images, labels, client)) for client in range(5)]
    print(f"| Jacobian augmentation | query-spread | {firsts} |")
    false = 0
    for client in range(CLIENTS):
        place = (start + client * QUERIES) % (len(images) - QUERIES)
        asked = list(images[place : place + QUERIES])
        false += first(network, similarity(), asked) is not None
        false += first(network, spread(), asked) is not None
    print(f"| {CLIENTS * QUERIES} benign digits of {CLIENTS} clients | both | {false} false alarms |")


def first(network: Network, detector: QuerySimilarity | QuerySpread, asked: list[Floats]) -> int | None:
    """Queries until the first finding."""
    says = forward(network, np.array(asked))[1].argmax(axis=1)
    for place, (query, label) in enumerate(zip(asked, says, strict=True), 1):
        if detector.update(Observation(0, "", "", of={"vector": query.tolist(), "label": int(label)})) is not None:
            return place
    return None


def boundary(network: Network, image: Floats, rng: np.random.Generator) -> list[Floats]:
    """Its first 200 queries: noise that is read as something else, half-way points, then a walk along the boundary."""
    asked: list[Floats] = []

    def fools(query: Floats) -> bool:
        asked.append(query)
        return int(forward(network, query[None])[1].argmax()) != truth

    truth = int(forward(network, image[None])[1].argmax())
    other = rng.random(64)
    while not fools(other):
        other = rng.random(64)
    near, far = image, other
    for _ in range(10):
        middle = (near + far) / 2.0
        near, far = (near, middle) if fools(middle) else (middle, far)
    aside, onward = 0.1, 0.1
    while len(asked) < 200:
        reach = np.linalg.norm(far - image)
        moved = far + rng.normal(0.0, aside * reach / 8.0, 64)
        moved = image + (moved - image) * reach / np.linalg.norm(moved - image)  # on the same sphere
        moved = np.clip(moved + onward * (image - moved), 0.0, 1.0)
        good = fools(moved)
        far = moved if good else far
        aside, onward = (aside * 1.1, onward * 1.1) if good else (aside * 0.9, onward * 0.9)
    return asked


def augmentation(network: Network, images: Floats, labels: npt.NDArray[np.int64], client: int) -> list[Floats]:
    """Papernot's substitute training: seeds, then each moved by a signed gradient step, round after round."""
    known = images[TRAINED + 40 * client : TRAINED + 40 * client + 40]
    asked = list(known)
    for _ in range(3):
        says = forward(network, known)[1].argmax(axis=1)
        known = np.clip(known + 0.1 * np.sign(gradient(network, known, says)), 0.0, 1.0)
        asked += list(known)
    del labels
    return asked


if __name__ == "__main__":
    main()

"""Trains the linear model behind `injection` and writes engine/detectors/injection.npz.

    PYTHONPATH=. .venv/bin/python scripts/train_injection.py ORDINARY [FILE.json …]

Attacks are composed from the phrases of scripts/injection_text.py, written for the purpose, and so are ordinary
prompts, there and in scripts/injection_hard.py, whose prompts have the words of attacks in them. Other ordinary text is
read, and none of it is kept but in the weights:

* ORDINARY, a folder with *.jsonl of: seed_tasks and user_oriented_instructions (github.com/yizhongw/self-instruct,
  commit 0b26cca, Apache-2.0), the test questions of grade-school-math (github.com/openai/grade-school-math, commit
  3101c7d, MIT), the questions of mt_bench and vicuna_bench (github.com/lm-sys/FastChat, commit 0e6d3e4, Apache-2.0);
* the docstrings of Python's standard library (PSF-2.0), which are full of orders to ignore, override and print.

The bound is the higher of two: what FALSE_SHARE of ordinary text passes that was not trained on, and what HARD_SHARE of
the hard prompts passes, each judged with its template left out of the training. It prints the recall on each family of
attacks with that family left out; and for each FILE (a list of {"prompt": …, "label": 0 or 1 or none}), none of which
is trained on or had a say in the bound, how many of its prompts pass. Both also at the first bound alone (`margin` of
the difference): what there is to gain for one whose users don't talk about such things.
"""

import ast
import json
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.detectors.injection import MODEL, SIZE_MIN, buckets, features
from scripts.injection_hard import HARD
from scripts.injection_text import ATTACKS, BENIGN, Family

PER_FAMILY, BENIGN_COUNT = 700, 6_000
DOCSTRINGS_MAX = 6_000
EPOCHS, RATE, DECAY = 12, 0.5, 2e-6
FALSE_SHARE = 0.005
"""Share of unseen ordinary text that passes the bound; half of what is allowed, since real prompts are odder."""
HARD_SHARE = 0.015
"""Share of prompts with the words of attacks that passes it, likewise half of what is allowed."""
FOLDS = 3
Rows = list[tuple[npt.NDArray[np.intp], float]]


def main() -> None:
    """Composes, trains, measures and writes the model."""
    rng = np.random.default_rng(1)
    attacks = {name: compose(family, PER_FAMILY, rng) for name, family in ATTACKS.items()}
    composed = [text for family in BENIGN.values() for text in compose(family, BENIGN_COUNT // len(BENIGN), rng)]
    natural = [*dict.fromkeys(prompts(Path(sys.argv[1]))), *docstrings(rng)]
    rng.shuffle(natural)
    hard = [
        {name: compose(fold(family, place), PER_FAMILY // FOLDS, rng) for name, family in HARD.items()}
        for place in range(FOLDS)
    ]
    unseen, known = natural[: len(natural) // 4], natural[len(natural) // 4 :] + composed
    every_attack = list(chain.from_iterable(attacks.values()))
    every_hard = [text for each in hard for texts in each.values() for text in texts]
    print(f"{len(every_attack)} attacks; {len(every_hard)} hard, {len(composed) + len(natural)} other ordinary texts\n")
    limit, ordinary = choose_bound(every_attack, hard, known, unseen)
    print(f"| family left out | recall | at a margin of {ordinary - limit:.2f} |\n|---|---|---|")
    recalls = []
    for name, held_out in attacks.items():
        others = list(chain.from_iterable(texts for other, texts in attacks.items() if other != name))
        model = train(rows(others, known + every_hard), np.random.default_rng(2))
        recalls.append([float(np.mean(scores(model, held_out) > bound)) for bound in (limit, ordinary)])
        print(f"| {name} | {recalls[-1][0]:.1%} | {recalls[-1][1]:.1%} |", flush=True)
    print("| mean | {:.1%} | {:.1%} |".format(*np.mean(recalls, axis=0)))
    model = train(rows(every_attack, unseen + known + every_hard), np.random.default_rng(2))
    np.savez_compressed(
        MODEL, weights=model[:-1].astype(np.float16), bias=np.float32(model[-1]), bound=np.float32(limit)
    )
    print(f"\nbound {limit:.2f}; {MODEL.stat().st_size:,} bytes")
    for path in sys.argv[2:]:
        external(Path(path), model, limit, ordinary)


def fold(family: Family, place: int) -> Family:
    """One part of FOLDS of a family: some of its templates, or of its lines where it is made of these."""
    if "line" in family.slots:
        return family._replace(slots=family.slots | {"line": family.slots["line"][place::FOLDS]})
    return family._replace(templates=family.templates[place::FOLDS])


def choose_bound(
    attacks: list[str], hard: list[dict[str, list[str]]], known: list[str], unseen: list[str]
) -> tuple[float, float]:
    """The bound by what was not trained on: ordinary text, and each fold of the hard prompts; and that of the first."""
    folds = [list(chain.from_iterable(each.values())) for each in hard]
    model = train(rows(attacks, known + list(chain.from_iterable(folds))), np.random.default_rng(2))
    ordinary = float(np.quantile(scores(model, unseen), 1.0 - FALSE_SHARE))
    left_out: dict[str, list[float]] = {}
    for place, each in enumerate(hard):
        others = [text for other, texts in enumerate(folds) if other != place for text in texts]
        model = train(rows(attacks, known + others), np.random.default_rng(2))
        for name, texts in each.items():
            left_out.setdefault(name, []).extend(scores(model, texts).tolist())
    hardest = float(np.quantile(list(chain.from_iterable(left_out.values())), 1.0 - HARD_SHARE))
    limit = max(ordinary, hardest)
    print(f"bounds: {ordinary:.2f} by ordinary text, {hardest:.2f} by hard prompts; {limit:.2f} taken")
    print("| hard family, templates left out | passes |\n|---|---|")
    for name, found in left_out.items():
        print(f"| {name} | {np.mean(np.array(found) > limit):.1%} |", flush=True)
    print()
    return limit, ordinary


def prompts(folder: Path) -> Iterator[str]:
    """The questions, inputs and answers of the rows of a folder's *.jsonl."""
    for path in sorted(folder.glob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            told = [row.get("question", ""), row.get("answer", ""), *row.get("turns", [])]
            for instance in row.get("instances", []):
                told += [
                    row["instruction"],
                    f"{row['instruction']}\n{instance['input']}",
                    instance["input"],
                    instance["output"],
                ]
            yield from (text for text in told if len(text) > 10)


def docstrings(rng: np.random.Generator) -> list[str]:
    """Paragraphs of the docstrings of Python's standard library."""
    found: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                    if len(paragraph) > 30:
                        found[" ".join(paragraph.split())] = None
    texts = list(found)
    rng.shuffle(texts)
    return texts[:DOCSTRINGS_MAX]


def external(path: Path, model: npt.NDArray[np.float64], *bounds: float) -> None:
    """Prints which share of the prompts of a file passes the bounds, by label."""
    held = json.loads(path.read_text(encoding="utf-8"))
    for label in sorted({str(each.get("label", "-")) for each in held}):
        texts = [each["prompt"] for each in held if str(each.get("label", "-")) == label]
        passed = [int((scores(model, texts) > bound).sum()) for bound in bounds]
        shares = ", ".join(f"{each} ({each / len(texts):.1%})" for each in passed)
        print(f"{path.name}, label {label}: {shares} of {len(texts)}")


def compose(family: Family, count: int, rng: np.random.Generator) -> list[str]:
    """So many different texts of a family: templates whose {slots} are filled until none is left."""
    made: dict[str, None] = {}
    for _ in range(20 * count):
        text = str(rng.choice(family.templates))
        while "{" in text:
            before, _, rest = text.partition("{")
            slot, _, after = rest.partition("}")
            text = before + str(rng.choice(family.slots[slot])) + after
        if rng.random() < 0.1:
            text = text.upper() if rng.random() < 0.3 else text.lower()
        made[text] = None
        if len(made) == count:
            break
    return list(made)


def rows(attacks: list[str], benign: list[str]) -> Rows:
    """Texts as places of their features, with 1 for attacks."""
    return [(places(text), 1.0) for text in attacks] + [(places(text), 0.0) for text in benign]


@cache
def places(text: str) -> npt.NDArray[np.intp]:
    """The features of a text, which many trainings share."""
    return buckets(text)


def train(examples: Rows, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Logistic regression by stochastic gradient descent; the last weight is the bias."""
    weights = np.zeros(features() + 1)
    steps = 0
    for _ in range(EPOCHS):
        for place in rng.permutation(len(examples)):
            found, label = examples[place]
            if not found.size:
                continue
            scale = 1.0 / np.sqrt(max(SIZE_MIN, found.size))
            score = weights[found].sum() * scale + weights[-1]
            error = 1.0 / (1.0 + np.exp(-np.clip(score, -30, 30))) - label
            steps += 1
            rate = RATE / (1.0 + steps * 1e-4)
            weights[found] -= rate * (error * scale + DECAY * weights[found])
            weights[-1] -= 0.1 * rate * error
    return weights


def scores(model: npt.NDArray[np.float64], texts: list[str]) -> npt.NDArray[np.float64]:
    """The score of each text."""
    found = [places(text) for text in texts]
    return np.array([model[each].sum() / np.sqrt(max(SIZE_MIN, each.size)) + model[-1] for each in found])


if __name__ == "__main__":
    main()

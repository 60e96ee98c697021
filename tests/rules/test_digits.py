"""The shipped rules on real handwritten digits: honest clients are left alone, attacks on the network are found."""

import numpy as np
import pytest

from benchmarks.detectors import digits
from engine.model import Event
from engine.replay import Replay
from tests.support.shipped import shipped_rules

START_US = 1_767_571_200_000_000
IMAGES, LABELS = digits.load()
NETWORK = digits.train(IMAGES, LABELS)


def asked(queries, client, *, start_s, every_s):
    """Answers of the network to a client's queries, with the input as a vector of length 1."""
    odds = digits.forward(NETWORK, np.array(queries))[1]
    for number, (query, answer) in enumerate(zip(queries, odds, strict=True)):
        features = [round(float(each), 5) for each in query / np.linalg.norm(query)]
        data = {
            "client": client,
            "features": features,
            "label": int(answer.argmax()),
            "confidence": float(answer.max()),
        }
        at_us = START_US + round((start_s + number * every_s) * 1e6)
        yield Event(
            id=f"{client}-{number}", source="/g", type="inference.response", time_us=at_us, subject="digits", data=data
        )


def honest(clients):
    """Clients that ask for a hundred digits each, one a minute."""
    for number in range(clients):
        place = number * 100
        yield from asked(IMAGES[place : place + 100], f"c{number}", start_s=number * 3, every_s=60)


def rules_that_open(events):
    lines = Replay(shipped_rules(), sorted(events, key=lambda each: each.time_us)).lines()
    return {each.fields["rule"] for each in lines if each.kind == "incident"}


def test_honest_clients_are_left_alone():
    """1,700 digits of 17 clients, 500 of them never seen in training: no incident."""
    assert rules_that_open(honest(17)) == set()


def attack(name):
    rng = np.random.default_rng(5)
    held = slice(digits.TRAINED, digits.TRAINED + 60)
    match name:
        case "boundary":
            return digits.boundary(NETWORK, IMAGES[digits.TRAINED], rng)
        case "augmentation":
            return digits.augmentation(NETWORK, IMAGES, LABELS, 0)
        case _:
            everywhere = np.ones(64)
            return list(
                digits.gradient_attack(NETWORK, IMAGES[held], LABELS[held], everywhere, steps=20, targeted=False)
            )


@pytest.mark.parametrize(
    ("name", "rule"),
    [("boundary", "adversarial-search"), ("augmentation", "extraction-pattern"), ("gradient", "adversarial-inputs")],
)
def test_an_attack_among_them_is_found(name, rule):
    """By the rule that is made for it, whichever others see it too."""
    events = [*honest(12), *asked(attack(name), "mallory", start_s=8_000, every_s=1)]
    assert rule in rules_that_open(events)

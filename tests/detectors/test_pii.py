"""engine/detectors/pii.py: personal data and secrets, each kind with its near misses."""

import pytest

from engine.detectors.pii import Pii, PiiParams
from tests.support.detecting import observe

TOKEN = "gh" + "p_" + "a1B2" * 9
CASES = [
    ("email", "mail ann.lee+x@mail.example.org now", "ann@localhost, @ann, a@b"),
    ("phone", "call +49 30 1234567 or 555-867-5309", "on 2026-01-02 at 12:30, 1234567"),
    ("card", "4111 1111 1111 1111", "4111 1111 1111 1112 and 1234567890123"),
    ("ssn", "078-05-1120", "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567"),
    ("iban", "DE89 3704 0044 0532 0130 00 is mine", "DE88 3704 0044 0532 0130 00"),
    ("url", "see https://example.org/a?b=c", "example.org"),
    ("secret", f"use {TOKEN}", "the key is the thing that opens the door to the house"),
    ("secret", "password: k3J9-xQ2v!7Lm0pRz8Wt", "token: aaaaaaaaaaaaaaaaaaaaaaaa1"),
    ("secret", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----"),
]


@pytest.mark.parametrize(
    ("kind", "held", "near"), CASES, ids=[f"{case[0]}-{place}" for place, case in enumerate(CASES)]
)
def test_each_kind_is_found_and_what_only_looks_like_it_is_not(kind, held, near):
    """Patterns propose, checks decide."""
    detector = Pii(PiiParams(kinds=(kind,)))
    assert detector.update(observe(0, of=held)) is not None
    assert detector.update(observe(0, of=near)) is None


def test_the_finding_counts_and_never_quotes():
    """Two addresses, one of them twice, and a card: 2 email, 1 card, and nothing of them in the record."""
    text = "ann@example.org bob@example.org ann@example.org 4111111111111111"
    finding = Pii(PiiParams()).update(observe(0, of=text))
    assert finding.detail == "2 email, 1 card"
    assert finding.value == 3.0


def test_a_minimum_is_a_minimum():
    """One address is usual in a signature; three are a list."""
    detector = Pii(PiiParams(kinds=("email",), at_least=3))
    assert detector.update(observe(0, of="a1@example.org a2@example.org")) is None
    assert detector.update(observe(0, of="a1@example.org a2@example.org a3@example.org")) is not None

"""engine/personal.py: the checks behind the patterns. tests/detectors/test_pii.py has each kind with near misses."""

import pytest

from engine.personal import bits_per_char, find_personal, iban_checks, luhn


def test_what_occurs_twice_comes_twice():
    """Whoever counts decides whether the same address is one or two."""
    assert list(find_personal("a1@example.org b2@example.org a1@example.org", "email")) == [
        "a1@example.org", "b2@example.org", "a1@example.org"
    ]  # fmt: skip


@pytest.mark.parametrize(("digits", "holds"), [("79927398713", True), ("79927398710", False), ("0", True)])
def test_luhn(digits, holds):
    """The example of the standard, and one digit beside it."""
    assert luhn(digits) is holds


@pytest.mark.parametrize(("iban", "holds"), [("GB82WEST12345698765432", True), ("GB82WEST12345698765431", False)])
def test_iban_check_digits(iban, holds):
    """The example of the registry, and one digit beside it."""
    assert iban_checks(iban) is holds


def test_entropy_is_in_bits():
    """One letter has none, sixteen different ones have four bits each."""
    assert bits_per_char("aaaa") == 0.0
    assert bits_per_char("0123456789abcdef") == 4.0

"""Text to the personal data and secrets in it, by patterns in linear time, each with the check that its kind allows.

The detector `pii` and `forensics.scan-privacy` use it. What is found is for counting: neither says what it was.

Sources: ISO/IEC 7812-1 (Luhn), ISO 13616 (IBAN), RFC 5322 and E.164 in outline, Social Security Administration POMS.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

import re2

Kind = Literal["email", "phone", "card", "ssn", "iban", "url", "secret"]
PERSONAL: tuple[Kind, ...] = ("email", "phone", "card", "ssn", "iban", "secret")
"""What is looked for unless told otherwise: a URL is seldom private."""
SECRET_BITS_MIN = 3.3
"""Bits per character of a word that may be a secret; words of a language have less, hexadecimal at most 4."""
SECRET_CHARS_MIN = 20
IBAN_CHARS = {
    "AT": 20,
    "BE": 16,
    "CH": 21,
    "CZ": 24,
    "DE": 22,
    "DK": 18,
    "EE": 20,
    "ES": 24,
    "FI": 18,
    "FR": 27,
    "GB": 22,
    "GR": 27,
    "HR": 21,
    "HU": 28,
    "IE": 22,
    "IT": 27,
    "LT": 20,
    "LU": 20,
    "LV": 21,
    "NL": 18,
    "NO": 15,
    "PL": 28,
    "PT": 25,
    "RO": 24,
    "SE": 24,
    "SI": 19,
    "SK": 24,
}
"""Length of an IBAN by country; other countries are held to the check digits alone."""


def find_personal(text: str, kind: Kind) -> Iterator[str]:
    """Each piece of the text that is of that kind, in order; one that occurs twice comes twice.

    >>> list(find_personal("card 4111 1111 1111 1111, not 4111 1111 1111 1112", "card"))
    ['4111111111111111']
    """
    return _FINDERS[kind](text)


_EMAIL = re2.compile(r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}\b")
_PHONE = re2.compile(
    r"(?:\+[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,4}(?:[ .-]?[0-9]{2,4}){1,4}"
    r"|(?:\([0-9]{3}\) ?|\b[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4})\b"
)
_CARD = re2.compile(r"\b[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}\b")
_SSN = re2.compile(r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b")
_IBAN = re2.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b")
_URL = re2.compile(r"(?i)\bhttps?://[^\s<>\"']{4,}")
_SECRET = re2.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{60,}\b"
    r"|\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bsk-[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{30,}\b"
    r"|\bAIza[A-Za-z0-9_-]{35}|\b[rs]k_live_[A-Za-z0-9]{20,}\b|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
)
_NAMED_SECRET = re2.compile(
    r"(?i)(?:key|token|secret|passw(?:or)?d)[\"']?(?: is)? ?[:= ] ?[\"']?([A-Za-z0-9+/_=.~!@#$%^&*-]{20,200})"
)


def _cards(text: str) -> Iterator[str]:
    for match in _CARD.finditer(text):
        digits = "".join(filter(str.isdigit, match.group()))
        if 13 <= len(digits) <= 19 and luhn(digits):
            yield digits


def luhn(digits: str) -> bool:
    """Whether Luhn's sum of the digits is divisible by ten: each second digit from the right counts double."""
    doubled = (int(each) * (1 + place % 2) for place, each in enumerate(reversed(digits)))
    return sum(each - 9 * (each > 9) for each in doubled) % 10 == 0


def _ssns(text: str) -> Iterator[str]:
    for match in _SSN.finditer(text):
        area, group, serial = match.group().split("-")
        if area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000":
            yield match.group()


def _ibans(text: str) -> Iterator[str]:
    for match in _IBAN.finditer(text):
        whole = match.group().replace(" ", "")
        # The pattern runs on into words that follow; the country says where it ends.
        iban = whole[: IBAN_CHARS.get(whole[:2], len(whole))]
        if len(iban) >= IBAN_CHARS.get(iban[:2], 15) and iban_checks(iban):
            yield iban


def iban_checks(iban: str) -> bool:
    """Whether the check digits hold: with the first four at the end and letters as 10 to 35, 1 modulo 97."""
    return int("".join(str(int(each, 36)) for each in iban[4:] + iban[:4])) % 97 == 1


def _secrets(text: str) -> Iterator[str]:
    for match in _SECRET.finditer(text):
        yield match.group()
    for match in _NAMED_SECRET.finditer(text):
        word = match.group(1)
        if bits_per_char(word) >= SECRET_BITS_MIN and any(map(str.isdigit, word)) and any(map(str.isalpha, word)):
            yield word


def bits_per_char(word: str) -> float:
    """Shannon's entropy of the characters of a word."""
    return -sum(count / len(word) * math.log2(count / len(word)) for count in Counter(word).values())


def _plain(pattern: "re2._Regexp[str]") -> Callable[[str], Iterator[str]]:
    return lambda text: (match.group() for match in pattern.finditer(text))


_FINDERS: dict[Kind, Callable[[str], Iterator[str]]] = {
    "email": _plain(_EMAIL),
    "phone": _plain(_PHONE),
    "card": _cards,
    "ssn": _ssns,
    "iban": _ibans,
    "url": _plain(_URL),
    "secret": _secrets,
}

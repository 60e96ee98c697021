"""`pii`: a text to a finding, where it holds personal data or secrets; found by name in `table.py`."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import re2
from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.texts import TextDetector
from engine.model import Finding

Kind = Literal["email", "phone", "card", "ssn", "iban", "url", "secret"]
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


class PiiParams(Params, frozen=True):
    """`kinds`: what to look for; `at_least`: so many different ones in a text."""

    kinds: Annotated[tuple[Kind, ...], Meta(min_length=1)] = ("email", "phone", "card", "ssn", "iban", "secret")
    at_least: Annotated[int, Meta(ge=1, le=1_000)] = 1


class Pii(TextDetector[PiiParams]):
    """Personal data and secrets in a text: patterns (RE2, linear time), each with the check that its kind allows.

    `email`; `phone` (international with +, or 3-3-4 digits); `card` (13 to 19 digits, Luhn's sum, a known prefix);
    `ssn` (of the US, valid areas only); `iban` (check digits modulo 97, length by country); `url`; `secret` (prefixes
    of well-known keys, private key blocks, JSON web tokens, and words of 20 or more mixed characters with at least 3.3
    bits each right after `key`, `token`, `secret` or `password`). The finding says how many of each kind; never what.

    Parameters: `kinds` (all but `url`), `at_least` (different ones, 1).
    False alarms: one of ten numbers of 16 digits passes Luhn's sum, one of 97 strings of the form of an IBAN its check;
    3-3-4 digits occur in part numbers: leave `phone` out where these are common.
    Use `canary` for the system prompt, `hash` for files.
    Source: ISO/IEC 7812-1 (Luhn), ISO 13616 (IBAN), RFC 5322 and E.164 in outline, Social Security Administration POMS.

    >>> from engine.detectors.contract import Observation
    >>> detector = Pii(PiiParams())
    >>> text = "Write to ann@example.org, card 4111 1111 1111 1111, not 4111 1111 1111 1112."
    >>> detector.update(Observation(0, "e", "s", of=text)).detail
    '1 email, 1 card'
    """

    method = "pii"
    params_type = PiiParams

    def read(self, text: str, observation: Observation) -> Finding | None:
        counts = {kind: len(set(_FINDERS[kind](text))) for kind in self.params.kinds}
        total = sum(counts.values())
        if total < self.params.at_least:
            return None
        detail = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        bound = float(self.params.at_least)
        return Finding(detail=detail, value=float(total), threshold=bound, event_ids=(observation.event_id,))


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


_FINDERS: dict[str, Callable[[str], Iterator[str]]] = {
    "email": _plain(_EMAIL),
    "phone": _plain(_PHONE),
    "card": _cards,
    "ssn": _ssns,
    "iban": _ibans,
    "url": _plain(_URL),
    "secret": _secrets,
}

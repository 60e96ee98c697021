"""`pii`: a text to a finding, where it holds personal data or secrets; found by name in `table.py`."""

from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.texts import TextDetector
from engine.model import Finding
from engine.personal import PERSONAL, Kind, find_personal


class PiiParams(Params, frozen=True):
    """`kinds`: what to look for; `at_least`: so many different ones in a text."""

    kinds: Annotated[tuple[Kind, ...], Meta(min_length=1)] = PERSONAL
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
        counts = {kind: len(set(find_personal(text, kind))) for kind in self.params.kinds}
        total = sum(counts.values())
        if total < self.params.at_least:
            return None
        detail = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        bound = float(self.params.at_least)
        return Finding(detail=detail, value=float(total), threshold=bound, event_ids=(observation.event_id,))

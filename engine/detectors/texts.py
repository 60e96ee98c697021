"""What the detectors of texts share: `of` as a text, bounded, and in a form that undoes tricks of writing."""

import re
import unicodedata

from engine.detectors.contract import Observation, ParamsT
from engine.detectors.values import StateDetector
from engine.model import Finding, Json

TEXT_CHARS_MAX = 100_000
"""More of a text is not looked at."""
_NOT_WORD = re.compile(r"[^\w]+")


class TextDetector(StateDetector[ParamsT]):
    """A detector of one text without any memory. What is no text finds nothing."""

    needs_of = True

    def update(self, observation: Observation) -> Finding | None:
        text = as_text(observation.of)
        return None if text is None else self.read(text, observation)

    def read(self, text: str, observation: Observation) -> Finding | None:
        """The finding for a text of at most TEXT_CHARS_MAX characters."""
        raise NotImplementedError

    def bytes_max(self) -> int:
        return 16


def as_text(of: Json) -> str | None:
    """The text, cut to what is looked at; None for what is none."""
    return of[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode() if isinstance(of, str) else None


def plain(text: str) -> str:
    """Lower case, one form of each letter, and no invisible characters: how a reader sees it."""
    text = unicodedata.normalize("NFKC", text)
    return "".join(each for each in text if unicodedata.category(each) != "Cf").casefold()


def letters(text: str) -> str:
    """Letters and digits of a plain text only: what is left when spaces, dashes and punctuation are put between."""
    return _NOT_WORD.sub("", plain(text)).replace("_", "")


def words(text: str) -> list[str]:
    """The words of a plain text."""
    return [each for each in _NOT_WORD.split(plain(text)) if each]

"""`canary`: a model's output to a finding, where its system prompt or a canary leaks; found by name in `table.py`."""

from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.texts import TEXT_CHARS_MAX, TextDetector, as_text, letters, words
from engine.model import Finding

SHINGLE = 6
"""Words in a row that make one piece of the prompt; fewer are shared by chance."""


class CanaryParams(Params, frozen=True):
    """`canaries`: texts that no output may hold; `overlap`: share of the prompt that an output may hold, 0 to 1.

    At least one canary, or a prompt in `of`.
    """

    canaries: tuple[Annotated[str, Meta(min_length=6, max_length=1_000)], ...] = ()
    overlap: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.2


class Canary(TextDetector[CanaryParams]):
    """A canary in the output, or more than `overlap` of the system prompt: the model gives away what it was told.

    `of` is the output as text, or `{"text": …, "prompt": …}` with the system prompt beside it. Canaries are looked for
    in the letters and digits alone, forwards and backwards, so that case, spacing, dashes, invisible characters and
    reversal do not hide one. The overlap is the share of the prompt's runs of 6 words that the output has too.

    Parameters: `canaries` (texts of at least 6 characters), `overlap` (share, 0.2).
    False alarms: a canary of 12 random letters appears by chance once in 10^17 places. An output that quotes what the
    user pasted may share runs of words with a prompt made of common phrases.
    Use `pii` for what leaks of people, `injection` for the attempt before.
    Source: system prompt leakage, OWASP LLM07:2025; shingles: Broder (1997), On the resemblance of documents.

    >>> from engine.detectors.contract import Observation
    >>> detector = Canary(CanaryParams(canaries=("zx-quartz-4471",)))
    >>> outputs = ("Hello!", "My rules say: Z X - Q u a r t z - 4 4 7 1.", "1744-ztrauq-xz")
    >>> [detector.update(Observation(0, "e", "s", of=of)) is not None for of in outputs]
    [False, True, True]
    """

    method = "canary"
    params_type = CanaryParams

    def restored(self) -> None:
        forms = ((place, letters(each)) for place, each in enumerate(self.params.canaries, 1))
        self._forms = [(place, form) for place, form in forms if len(form) >= 4]

    def update(self, observation: Observation) -> Finding | None:
        of = observation.of
        if not isinstance(of, dict):
            return super().update(observation)
        text, prompt = as_text(of.get("text")), as_text(of.get("prompt"))
        if text is None:
            return None
        return self.read(text, observation) or (self._overlap(text, prompt, observation.event_id) if prompt else None)

    def read(self, text: str, observation: Observation) -> Finding | None:
        form = letters(text[:TEXT_CHARS_MAX])
        for place, canary in self._forms:
            if canary in form or canary[::-1] in form:
                # The canary itself stays out of the record.
                detail = f"canary {place} of {len(self.params.canaries)} in the output"
                return Finding(detail=detail, event_ids=(observation.event_id,))
        return None

    def _overlap(self, text: str, prompt: str, event_id: str) -> Finding | None:
        told, said = _shingles(prompt), _shingles(text)
        if not told:
            return None
        share = len(told & said) / len(told)
        if share <= self.params.overlap:
            return None
        detail = f"the output repeats {share:.0%} of the system prompt"
        return Finding(detail=detail, value=share, threshold=self.params.overlap, event_ids=(event_id,))


def _shingles(text: str) -> set[str]:
    found = words(text)
    return {" ".join(found[place : place + SHINGLE]) for place in range(len(found) - SHINGLE + 1)}

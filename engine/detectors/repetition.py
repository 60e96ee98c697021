"""`repetition`: a model's output to a finding, where it goes round in circles; found by name in `table.py`."""

from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.texts import TextDetector, plain, words
from engine.model import Finding

RUN = 4
"""Words in a row that are compared."""
CHARS = 12
"""The same for text without spaces: characters in a row."""


class RepetitionParams(Params, frozen=True):
    """`above`: share of the runs of words that came before in the text, 0 to 1; `min_words`: shorter texts pass."""

    above: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.5
    min_words: Annotated[int, Meta(ge=8, le=10_000)] = 40


class Repetition(TextDetector[RepetitionParams]):
    """Output that repeats itself: 1 - (different runs of 4 words) / (runs of 4 words) > `above`.

    The commonest way in which a language model breaks (a bad checkpoint, a wrong sampling temperature, a prompt that
    makes it loop) and one that needs no second model to see, unlike perplexity. In a text that has few spaces, runs of
    12 characters are taken instead.

    Parameters: `above` (share, 0.5), `min_words` (40; of 12 characters each where there are few spaces).
    False alarms: ordinary prose lies at 0 to 0.1, code and tables at 0.1 to 0.35, song texts and long lists of like
    lines at up to 0.7: leave those out with `where`.
    Use `psi` on lengths or confidences for slower changes of quality.
    Source: seq-rep-n of Welleck et al. (2020), Neural Text Generation with Unlikelihood Training, ICLR.

    >>> from engine.detectors.contract import Observation
    >>> detector = Repetition(RepetitionParams())
    >>> outputs = ("I am sorry, but I can't. " * 20, " ".join(f"word{i}" for i in range(99)))
    >>> [finding and finding.detail for finding in (detector.update(Observation(0, "e", "s", of=of)) for of in outputs)]
    ['95% of the text repeats what came before in it', None]
    """

    method = "repetition"
    params_type = RepetitionParams

    def read(self, text: str, observation: Observation) -> Finding | None:
        found = words(text)
        if len(found) * CHARS < len(text) // 2:  # hardly a space: Chinese, base64, "aaaa…"
            parts, run = list(plain(text)), CHARS
        else:
            parts, run = found, RUN
        runs = len(parts) - run + 1
        if len(parts) < self.params.min_words * (run // RUN if run == RUN else CHARS) or runs < 1:
            return None
        share = 1.0 - len({tuple(parts[place : place + run]) for place in range(runs)}) / runs
        if share <= self.params.above:
            return None
        detail = f"{share:.0%} of the text repeats what came before in it"
        return Finding(detail=detail, value=share, threshold=self.params.above, event_ids=(observation.event_id,))

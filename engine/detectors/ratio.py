"""`ratio`: yes or no to a finding, where the share of yes over a window is large; found by name in `table.py`."""

import math
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation
from engine.detectors.windowed import WindowDetector, WindowParams
from engine.model import Finding


class RatioParams(WindowParams, frozen=True, kw_only=True):
    """Also `at_least`: the share, 0 to 1."""

    at_least: Annotated[float, Meta(ge=0.0, le=1.0)]


class Ratio(WindowDetector[RatioParams]):
    """The share of observations with `of` true, over the window that ends with each observation.

    Parameters: `at_least` (share, 0 to 1), `within` (event time), `min_events` (observations, 1).
    False alarms: with a true share p, the binomial tail at `min_events`; a small `min_events` makes small shares look
    large. Where the usual share is known, `bernoulli-cusum` is faster.
    Source: docs/rules.md, Exact meaning, 15.

    >>> from engine.clock import Duration
    >>> from engine.detectors.contract import Observation
    >>> detector = Ratio(RatioParams(at_least=0.5, within=Duration(100), min_events=4))
    >>> answers = [False, True, False, True, False]
    >>> [detector.update(Observation(i, f"e{i}", "s", of=each)) is not None for i, each in enumerate(answers)]
    [False, False, False, True, False]
    """

    method = "ratio"
    params_type = RatioParams
    needs_of = True
    of_bool = True
    of_is_bool = True

    def amount(self, observation: Observation) -> float | None:
        return float(observation.of) if isinstance(observation.of, bool) else None

    def merge(self, amounts: list[float]) -> float:
        return math.fsum(amounts)

    def judge(self, amount: float, count: int) -> Finding | None:
        share = amount / count
        if share < self.params.at_least:
            return None
        detail = f"{share:.1%} {self.over(count)}, at least {self.params.at_least:.1%}"
        return Finding(detail=detail, value=share, threshold=self.params.at_least)

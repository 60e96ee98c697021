"""`psi`: values or categories to a finding, where their distribution has shifted; found by name in `table.py`."""

import math
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation
from engine.detectors.distribution import Bins, Distribution, DistributionParams
from engine.detectors.sample import as_value
from engine.model import Finding


class PsiParams(DistributionParams, frozen=True):
    """`above`: the index; `bins`: for numbers; `reference`, `window`: values; `against`: `first` or `past`.

    `file`, `column`: the reference in a file instead.
    """

    above: Annotated[float, Meta(gt=0.0)] = 0.25
    bins: Annotated[int, Meta(ge=2, le=100)] = 10


class Psi(Distribution[PsiParams]):
    """The population stability index: sum over bins of (q - p) ln(q / p) > `above`, p of the reference, q recent.

    Numbers fall into the quantiles of the reference, texts and bools are their own bins. By custom, 0.1 is a shift to
    look at and 0.25 one to act on. Without any shift it is about (bins - 1) (1 / reference + 1 / window), so small
    windows need few bins.

    Parameters: `above` (index, 0.25), `bins` (for numbers, 10), `reference` (values, 1,000), `window` (values, 500),
    `against` (`first`: the first values of the key for good; `past`: those just before the window), or in their place
    `file` (.json, .csv or .npy beside the rule file, 20 to 100,000 values; `column` of a CSV file with several).
    False alarms in 100,000 independent normal values (2,000 looks): none at 0.1 and 0.25, 85 to 102 at 0.05.
    Use `js` where rare bins must not weigh much, `ks` for numbers without bins, `adwin` for the mean alone.
    Source: Siddiqi (2006), Credit Risk Scorecards; Yurdakul and Naranjo (2020), J. of Risk Model Validation 14(4).

    >>> from engine.detectors.contract import Observation
    >>> detector = Psi(PsiParams(reference=200, window=100))
    >>> seen = ["cat" if i % 3 else "dog" for i in range(300)] + ["dog" if i % 3 else "cat" for i in range(100)]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=of)) for i, of in enumerate(seen)]
    >>> next(finding.detail for finding in found if finding)
    "psi 0.264 of the last 100 values to the 200 first, most in 'dog': 33.6% to 58.9%"
    """

    method = "psi"
    params_type = PsiParams
    needs_of = True

    def update(self, observation: Observation) -> Finding | None:
        value = as_value(observation.of)
        return None if value is None else self.take(value, observation)

    @property
    def bound(self) -> float:
        return self.params.above

    def prepare(self, reference: list[float | str]) -> Bins:
        return Bins(reference, self.params.bins)

    def compare(self, prepared: Bins, recent: list[float | str]) -> tuple[float, str]:
        parts = [((q - p) * math.log(q / p), place, p, q) for place, p, q in prepared.shares(recent)]
        _, most, p, q = max(parts, key=lambda part: part[0])
        return math.fsum(part for part, *_ in parts), f", most in {prepared.name(most)}: {p:.1%} to {q:.1%}"

"""`js`: values or categories to a finding, where their distribution has shifted; found by name in `table.py`."""

import math
from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Observation
from engine.detectors.distribution import Bins, Distribution, DistributionParams
from engine.detectors.sample import as_value
from engine.model import Finding


class JsParams(DistributionParams, frozen=True):
    """`above`: distance, 0 to 1; `bins`: for numbers; `reference`, `window`: values; `against`: `first` or `past`.

    `file`, `column`: the reference in a file instead.
    """

    above: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.25
    bins: Annotated[int, Meta(ge=2, le=100)] = 10


class Js(Distribution[JsParams]):
    """The Jensen-Shannon distance: sqrt(KL(p | m) / 2 + KL(q | m) / 2) > `above`, m = (p + q) / 2, in bits: 0 to 1.

    p are the shares of the bins in the reference, q the recent ones. Numbers fall into the quantiles of the reference,
    texts and bools are their own bins. 0 is no shift, 1 nothing in common; a rare bin weighs no more than its share.

    Parameters: `above` (distance, 0.25), `bins` (for numbers, 10), `reference` (values, 1,000), `window` (values, 500),
    `against` (`first`: the first values of the key for good; `past`: those just before the window), or in their place
    `file` (.json, .csv or .npy beside the rule file, 20 to 100,000 values; `column` of a CSV file with several).
    False alarms in 100,000 independent normal values (2,000 looks): none at 0.15 and 0.25, 42 to 57 at 0.1.
    Use `psi` for the figure that risk teams know, `ks` for numbers without bins, `adwin` for the mean alone.
    Source: Lin (1991), IEEE Trans. Information Theory 37(1); Endres and Schindelin (2003), ibid. 49(7).

    >>> from engine.detectors.contract import Observation
    >>> detector = Js(JsParams(reference=200, window=100))
    >>> seen = ["cat" if i % 3 else "dog" for i in range(300)] + ["dog" if i % 3 else "cat" for i in range(100)]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=of)) for i, of in enumerate(seen)]
    >>> next(finding.detail for finding in found if finding)
    "js 0.276 of the last 100 values to the 200 first, most in 'dog': 33.6% to 65.8%"
    """

    method = "js"
    params_type = JsParams
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
        parts = []
        for place, p, q in prepared.shares(recent):
            middle = (p + q) / 2.0
            parts.append(((p * math.log2(p / middle) + q * math.log2(q / middle)) / 2.0, place, p, q))
        _, most, p, q = max(parts, key=lambda part: part[0])
        effect = math.sqrt(max(0.0, math.fsum(part for part, *_ in parts)))
        return effect, f", most in {prepared.name(most)}: {p:.1%} to {q:.1%}"

"""`ks`: numbers to a finding, where their distribution has shifted; found by name in `table.py`."""

from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from engine.detectors.contract import Observation
from engine.detectors.distribution import Distribution, DistributionParams
from engine.detectors.values import usable
from engine.model import Finding


class KsParams(DistributionParams, frozen=True):
    """`above`: the distance, 0 to 1; `reference`, `window`: values; `against`: `first` or `past`.

    `file`, `column`: the reference in a file instead.
    """

    above: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.2


class Ks(Distribution[KsParams]):
    """The Kolmogorov-Smirnov distance as an effect size: the largest
    difference between the shares of reference and of recent values at most x, over all x, > `above`.

    0.2 says that somewhere the shares below a value differ by 20 points, whatever the number of values. It takes no
    bins, and sees the middle of a distribution better than its tails.

    Parameters: `above` (distance, 0.2), `reference` (values, 1,000), `window` (values, 500), `against` (`first`: the
    first values of the key for good; `past`: those just before the window), or in their place `file` (.json, .csv or
    .npy beside the rule file, 20 to 100,000 numbers; `column` of a CSV file with several).
    False alarms in 100,000 independent normal values (2,000 looks): none at 0.15 and 0.2, 4 to 6 at 0.1.
    Use `psi` or `js` for categories, `spot` for the tail, `adwin` for the mean alone.
    Source: Smirnov (1948), Annals of Mathematical Statistics 19(2).

    >>> from engine.detectors.contract import Observation
    >>> detector = Ks(KsParams(reference=200, window=100))
    >>> confidence = [0.8 + i % 20 / 100 for i in range(300)] + [0.6 + i % 20 / 50 for i in range(100)]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", value)) for i, value in enumerate(confidence)]
    >>> next(finding.detail for finding in found if finding)
    'ks 0.29 of the last 100 values to the 200 first: 0.0% to 29.0% at most 0.78'
    """

    method = "ks"
    params_type = KsParams
    needs_value = True
    file_numbers = True

    def update(self, observation: Observation) -> Finding | None:
        value = usable(observation.value)
        return None if value is None else self.take(value, observation)

    @property
    def bound(self) -> float:
        return self.params.above

    def prepare(self, reference: list[float | str]) -> Any:
        return np.sort(np.array(reference, dtype=float))

    def compare(self, prepared: Any, recent: list[float | str]) -> tuple[float, str]:
        values = np.sort(np.array(recent, dtype=float))
        points = np.concatenate([prepared, values])
        old = np.searchsorted(prepared, points, side="right") / len(prepared)
        new = np.searchsorted(values, points, side="right") / len(values)
        place = int(np.argmax(np.abs(old - new)))
        return float(
            abs(old[place] - new[place])
        ), f": {old[place]:.1%} to {new[place]:.1%} at most {points[place]:.4g}"

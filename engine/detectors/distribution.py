"""What `psi`, `js` and `ks` share: a stream of values to a comparison of its recent distribution with a reference.

The reference is the first `reference` values (frozen), or those just before the recent `window`. An effect size is
reckoned, never a p-value: with as many values as a stream has, every difference is significant and few matter.
"""

import math
from collections import Counter
from typing import Annotated, Any, Literal

from msgspec import Meta

from engine.detectors.contract import Observation, Params, ParamsT
from engine.detectors.values import FLOAT_BYTES, VALUE_MAX, State, StateDetector
from engine.model import Finding, Json

TEXT_CHARS_MAX = 64
"""A longer category is cut."""
CATEGORIES_MAX = 200
"""Further categories count as one, `OTHER`."""
OTHER = "\u2026"
LOOKS = 10
"""The window is looked at after each tenth of it."""


class DistributionParams(Params, frozen=True):
    """`reference`, `window`: values; `against`: the first values of the key, or those just before the window."""

    reference: Annotated[int, Meta(ge=20, le=20_000)] = 1_000
    window: Annotated[int, Meta(ge=20, le=20_000)] = 500
    against: Literal["first", "past"] = "first"


class DistributionState(State):
    """The reference, what follows it (with `past` it goes from `recent` to `reference`), and the count since a look."""

    reference: list[float | str] = []
    recent: list[float | str] = []
    since: int = 0


class Distribution(StateDetector[ParamsT]):
    """The two samples; a subclass says how far apart they are."""

    state_type = DistributionState
    above: float

    def restored(self) -> None:
        params = self.sizes
        if len(self.state.reference) > params.reference or len(self.state.recent) > params.window:
            raise ValueError("more values than there can be")
        self._compared: Any = None

    @property
    def sizes(self) -> DistributionParams:
        """The parameters that all of them have."""
        assert isinstance(self.params, DistributionParams)
        return self.params

    def take(self, value: float | str, observation: Observation) -> Finding | None:
        """One value in; each tenth of a window the samples are compared."""
        state, params = self.state, self.sizes
        if len(state.reference) < params.reference:
            state.reference.append(value)
            return None
        state.recent.append(value)
        if len(state.recent) > params.window:
            leaving = state.recent.pop(0)
            if params.against == "past":
                del state.reference[0]
                state.reference.append(leaving)
                self._compared = None
        if len(state.recent) < params.window:
            return None
        state.since += 1
        if state.since < max(1, params.window // LOOKS):
            return None
        state.since = 0
        if self._compared is None:
            self._compared = self.prepare(state.reference)
        effect, where = self.compare(self._compared, state.recent)
        if effect <= self.above:
            return None
        against = "first" if params.against == "first" else "before"
        detail = (
            f"{self.method} {effect:.3g} of the last {params.window} values to the {params.reference} {against}{where}"
        )
        return Finding(detail=detail, value=effect, threshold=self.above, event_ids=(observation.event_id,))

    def prepare(self, reference: list[float | str]) -> Any:
        """What `compare` needs of a reference."""
        raise NotImplementedError

    def compare(self, prepared: Any, recent: list[float | str]) -> tuple[float, str]:
        """The effect size, and where it lies, as the end of a sentence."""
        raise NotImplementedError

    def bytes_max(self) -> int:
        longest = max(FLOAT_BYTES, 3 + 4 * TEXT_CHARS_MAX)
        return 64 + longest * (self.sizes.reference + self.sizes.window)


def as_value(of: Json) -> float | str | None:
    """A number as one, a text or bool as a category; None for anything else."""
    if isinstance(of, bool):
        return "true" if of else "false"
    if isinstance(of, int | float):
        try:
            number = float(of)
        except OverflowError:
            return None
        return min(max(number, -VALUE_MAX), VALUE_MAX) if math.isfinite(number) else None
    return of[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode() if isinstance(of, str) else None


class Bins:
    """A reference as shares of bins: its quantiles for numbers, its commonest categories for texts."""

    def __init__(self, reference: list[float | str], bins: int) -> None:
        numbers = sorted(each for each in reference if isinstance(each, float))
        cuts = {numbers[len(numbers) * place // bins] for place in range(1, bins)} if numbers else set()
        # Half-way to the next number, so that equal ones of a discrete value fall on one side.
        self.edges = sorted(cuts)
        common = Counter(each for each in reference if isinstance(each, str)).most_common(CATEGORIES_MAX)
        self.categories = {each for each, _ in common}
        self.counts = self.count(reference)
        self.size = len(reference)

    def count(self, values: list[float | str]) -> Counter[str]:
        """Values per bin, by the name of the bin."""
        found: Counter[str] = Counter()
        for value in values:
            found[self._name(value)] += 1
        return found

    def _name(self, value: float | str) -> str:
        if isinstance(value, str):
            return repr(value) if value in self.categories else OTHER
        low, high = 0, len(self.edges)
        while low < high:
            middle = (low + high) // 2
            if self.edges[middle] <= value:
                low = middle + 1
            else:
                high = middle
        left = "" if low == 0 else f"{self.edges[low - 1]:.4g} <= "
        right = "" if low == len(self.edges) else f" < {self.edges[low]:.4g}"
        return f"{left}x{right}"

    def shares(self, recent: list[float | str]) -> list[tuple[str, float, float]]:
        """Per bin: its name, its share of the reference and of the recent values; half a value is added to each."""
        counts = self.count(recent)
        names = sorted(self.counts.keys() | counts.keys())
        added = 0.5 * len(names)
        return [
            (name, (self.counts[name] + 0.5) / (self.size + added), (counts[name] + 0.5) / (len(recent) + added))
            for name in names
        ]

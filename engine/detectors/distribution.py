"""What `psi`, `js` and `ks` share: a stream of values to a comparison of its recent distribution with a reference.

The reference is a file, or the first `reference` values (both frozen), or those just before the recent `window`. An
effect size is reckoned, never a p-value: with as many values as a stream has, every difference is significant and few
matter.
"""

from bisect import bisect_right
from collections import Counter
from typing import Annotated, Any, Literal

from msgspec import Meta

from engine.detectors.contract import Observation, Params, ParamsT
from engine.detectors.sample import TEXT_CHARS_MAX, Sample
from engine.detectors.values import FLOAT_BYTES, State, StateDetector
from engine.model import Finding

CATEGORIES_MAX = 200
"""Further categories count as one, `OTHER`."""
OTHER = "\u2026"
LOOKS = 10
"""The window is looked at after each tenth of it."""


class DistributionParams(Params, frozen=True):
    """`reference`, `window`: values; `against`: the first values of the key, or those just before the window.

    `file`: the reference in a .json, .csv or .npy file beside the rule file, in place of `reference` and `against`;
    `column`: of a CSV file with several.
    """

    reference: Annotated[int, Meta(ge=20, le=20_000)] = 1_000
    window: Annotated[int, Meta(ge=20, le=20_000)] = 500
    against: Literal["first", "past"] = "first"
    file: Annotated[str, Meta(min_length=1, max_length=1_000)] | None = None
    column: Annotated[str, Meta(min_length=1, max_length=200)] | None = None

    def __post_init__(self) -> None:
        if self.file is not None and self.against == "past":
            raise ValueError("`file` is the reference for good, and `against` asks for the past")
        if self.column is not None and self.file is None:
            raise ValueError("`column` is one of `file`, which is missing")


class DistributionState(State):
    """The reference, what follows it (with `past` it goes from `recent` to `reference`), and the count since a look."""

    reference: list[float | str] = []
    recent: list[float | str] = []
    since: int = 0


class Distribution(StateDetector[ParamsT]):
    """The two samples; a subclass says how far apart they are."""

    state_type = DistributionState
    file_key = "file"

    def __init__(self, params: ParamsT, sample: Sample | None = None) -> None:
        self._sample = sample
        super().__init__(params)
        assert (self.sizes.file is None) == (sample is None), "`file` is read when the rules are loaded"

    def restored(self) -> None:
        params = self.sizes
        known = 0 if self._sample is not None else params.reference
        if len(self.state.reference) > known or len(self.state.recent) > params.window:
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
        if self._sample is None and len(state.reference) < params.reference:
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
        effect, where = self.compare(self._prepared(), state.recent)
        above = self.bound
        if effect <= above:
            return None
        detail = f"{self.method} {effect:.3g} of the last {params.window} values to the {self._reference()}{where}"
        return Finding(detail=detail, value=effect, threshold=above, event_ids=(observation.event_id,))

    def _prepared(self) -> Any:
        """What `compare` needs of the reference; that of a file is made once for all keys."""
        if self._sample is not None:
            if self._sample.prepared is None:
                self._sample.prepared = self.prepare(self._sample.values)
            return self._sample.prepared
        if self._compared is None:
            self._compared = self.prepare(self.state.reference)
        return self._compared

    def _reference(self) -> str:
        """The reference, for the sentence of a finding."""
        if self._sample is not None:
            return f"{len(self._sample.values)} of {self._sample.name}"
        return f"{self.sizes.reference} {'first' if self.sizes.against == 'first' else 'before'}"

    @property
    def bound(self) -> float:
        """`above` of the parameters."""
        raise NotImplementedError

    def prepare(self, reference: list[float | str]) -> Any:
        """What `compare` needs of a reference."""
        raise NotImplementedError

    def compare(self, prepared: Any, recent: list[float | str]) -> tuple[float, str]:
        """The effect size, and where it lies, as the end of a sentence."""
        raise NotImplementedError

    def bytes_max(self) -> int:
        longest = max(FLOAT_BYTES, 3 + 4 * TEXT_CHARS_MAX)
        reference = 0 if self._sample is not None else self.sizes.reference
        return 64 + longest * (reference + self.sizes.window)


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

    def count(self, values: list[float | str]) -> Counter[int | str]:
        """Values per bin: the place of a bin of numbers, or a category."""
        edges, categories = self.edges, self.categories
        return Counter(
            [
                bisect_right(edges, value) if isinstance(value, float) else value if value in categories else OTHER
                for value in values
            ]
        )

    def name(self, place: int | str) -> str:
        """A bin, for people."""
        if isinstance(place, str):
            return OTHER if place == OTHER else repr(place)
        left = "" if place == 0 else f"{self.edges[place - 1]:.4g} <= "
        right = "" if place == len(self.edges) else f" < {self.edges[place]:.4g}"
        return f"{left}x{right}"

    def shares(self, recent: list[float | str]) -> list[tuple[int | str, float, float]]:
        """Per bin: its place, its share of the reference and of the recent values; half a value is added to each."""
        counts = self.count(recent)
        places = sorted(self.counts.keys() | counts.keys(), key=lambda place: (isinstance(place, str), place))
        added = 0.5 * len(places)
        return [
            (place, (self.counts[place] + 0.5) / (self.size + added), (counts[place] + 0.5) / (len(recent) + added))
            for place in places
        ]

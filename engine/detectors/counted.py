"""What `surge` and `drought` share: times of events to a sliding count and to how that count is distributed.

Time is cut into slices, `SLICES` to a window. The count slides by slices, so that no burst is split by a boundary; the
past is learnt as counts of whole windows that lie end to end.
"""

from typing import Annotated

from msgspec import Meta

from engine.clock import PositiveDuration, format_duration
from engine.detectors.contract import Params, ParamsT
from engine.detectors.values import State, StateDetector

SLICES = 10


class CountedParams(Params, frozen=True):
    """`within`: the window; `probability`: how rare, per window; `reference`: windows to learn from, also the warm-up.

    `floor`: the standard deviation of the counts counts as at least this share of their mean.
    """

    within: PositiveDuration
    probability: Annotated[float, Meta(gt=0.0, lt=0.1)] = 1e-6
    reference: Annotated[int, Meta(ge=8, le=1_000)] = 60
    floor: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.1


class CountedState(State):
    """Slices of the present window, oldest first; counts of past windows; `at` is the number of the newest slice."""

    at: int | None = None
    slices: list[int] = []
    past: list[int] = []
    due_slices: int = SLICES
    mean: float = 0.0
    variance: float = 0.0
    critical: int = -1
    quiet: int = 0


class Counted(StateDetector[ParamsT]):
    """The sliding count and the learnt distribution; a subclass says which counts are critical."""

    state_type = CountedState
    restarts = True

    def restored(self) -> None:
        if len(self.state.slices) > SLICES or len(self.state.past) > self.counted.reference:
            raise ValueError("more slices or windows than there can be")

    @property
    def counted(self) -> CountedParams:
        """The parameters that both methods have."""
        assert isinstance(self.params, CountedParams)
        return self.params

    @property
    def ready(self) -> bool:
        """Whether enough windows were learnt."""
        return len(self.state.past) >= self.counted.reference

    def slice_of(self, at_us: int) -> int:
        """The number of the slice in which a time lies."""
        return at_us * SLICES // self.counted.within

    def begins_us(self, place: int) -> int:
        """When a slice begins."""
        return -(-place * self.counted.within // SLICES)

    def add(self, at_us: int) -> bool:
        """Count an event; False where it is older than the window."""
        place, state = self.slice_of(at_us), self.state
        self.advance(place)
        behind = state.at - place
        if behind >= len(state.slices):
            return False
        state.slices[-1 - behind] += 1
        return True

    def advance(self, place: int) -> None:
        """Let time come to a slice; windows that are complete are learnt."""
        state = self.state
        if state.at is None:
            state.at, state.slices = place, [0]
        # A silence longer than all that is remembered leaves nothing but empty windows.
        most = SLICES * (self.counted.reference + 1)
        if place - state.at > most:
            state.at = place - most
        while state.at < place:
            state.at += 1
            state.quiet = max(0, state.quiet - 1)
            state.due_slices -= 1
            if state.due_slices == 0:
                self._learn(sum(state.slices))
                state.due_slices = SLICES
            state.slices = [*state.slices[-(SLICES - 1) :], 0]

    def total(self) -> int:
        """Events in the window now."""
        return sum(self.state.slices)

    def _learn(self, count: int) -> None:
        state = self.state
        if self.ready:
            count = self.bounded(count)
        state.past = [*state.past, count][-self.counted.reference :]
        if self.ready:
            size = len(state.past)
            state.mean = (sum(state.past) + 0.5) / size
            spread = sum((each - state.mean) ** 2 for each in state.past) / (size - 1)
            state.variance = max(spread, (self.counted.floor * state.mean) ** 2 + state.mean)
            state.critical = self.critical()

    def critical(self) -> int:
        """The count from which on a window is a finding, by the mean and variance learnt."""
        raise NotImplementedError

    def bounded(self, count: int) -> int:
        """The count as it is learnt: an incident must not become the usual."""
        raise NotImplementedError

    def usual(self) -> str:
        """The learnt distribution in words."""
        state, within = self.state, format_duration(self.counted.within)
        return f"within {within}, {state.mean:.4g} ± {state.variance**0.5:.3g} are usual"

    def bytes_max(self) -> int:
        return 160 + 9 * (SLICES + self.counted.reference)

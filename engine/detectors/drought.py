"""`drought`: times of events to a finding, where there are far fewer than usual; found by name in `table.py`."""

from engine.detectors.contract import Observation
from engine.detectors.counted import SLICES, Counted, CountedParams
from engine.detectors.tails import drought_from
from engine.model import Finding


class DroughtParams(CountedParams, frozen=True):
    """`within`: the window; `probability`: how rare, per window; `reference`: windows to learn from.

    `floor`: the standard deviation of the counts counts as at least this share of their mean.
    """


class Drought(Counted[DroughtParams]):
    """Far fewer events than usual: P(X <= count of the last `within`) < `probability`, X negative binomial

    with the mean and the variance of the last `reference` windows (variance >= mean + (floor * mean)²). It is looked at
    ten times per window by a timer, so that no event is needed to see that there are none. Where even an empty window
    is not that rare, nothing is ever found: choose a longer `within`. Told once, it rests until the count recovers.

    Parameters: `within` (duration), `probability` (1e-6), `reference` (windows, 60), `floor` (share of the mean, 0.1).
    False alarms at 1e-6: none seen in 15,000 windows of traffic with 1 to 70 times Poisson's variance.
    Use `absence` where a known time of silence is enough, `surge` for too many.
    Source: as `surge`.

    >>> from engine.clock import PositiveDuration
    >>> from engine.detectors.contract import Observation
    >>> detector = Drought(DroughtParams(within=PositiveDuration(60_000_000), reference=20))
    >>> for second in range(1_500):
    ...     _ = detector.update(Observation(second * 1_000_000, f"e{second}", "s"))
    >>> while (finding := detector.tick(detector.due_us())) is None:
    ...     pass
    >>> finding.detail
    '18 events within 1m, 60.02 ± 9.8 are usual'
    """

    method = "drought"
    params_type = DroughtParams

    def update(self, observation: Observation) -> Finding | None:
        finding = self.tick(observation.at_us)
        self.add(observation.at_us)
        return finding

    def due_us(self) -> int | None:
        state = self.state
        if state.at is None or state.quiet:
            return None  # told: an event will wake it
        if state.critical < 0 and not self.total():
            return None  # silent, and silence is no finding (yet)
        return self.begins_us(state.at + 1)

    def jump(self, to_us: int, by_us: int) -> None:
        at, due_us = self.state.at, self.due_us()
        if at is None:
            return
        leapt = due_us is not None and due_us <= to_us if by_us > 0 else self.begins_us(at) > to_us
        if leapt:
            self.state.at = at + by_us * SLICES // self.counted.within

    def tick(self, now_us: int) -> Finding | None:
        state = self.state
        if state.at is None:
            return None
        while state.at < self.slice_of(now_us):
            complete = self.total() if len(state.slices) == SLICES else None
            self.advance(state.at + 1 if self.slice_of(now_us) - state.at <= 2 * SLICES else self.slice_of(now_us))
            if complete is None or not self.ready:
                continue
            if complete > state.critical:
                state.quiet = 0
            elif not state.quiet:
                state.quiet = 1
                detail = f"{complete} events {self.usual()}"
                return Finding(detail=detail, value=float(complete), threshold=float(state.critical))
        return None

    def advance(self, place: int) -> None:
        quiet = self.state.quiet
        super().advance(place)
        self.state.quiet = quiet  # it rests until the count recovers, not for a time

    def critical(self) -> int:
        return drought_from(self.params.probability, mean=self.state.mean, variance=self.state.variance)

    def bounded(self, count: int) -> int:
        return max(count, int(self.state.critical))

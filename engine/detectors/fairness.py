"""`fairness`: decisions by group to a finding, where groups fare too differently; found by name in `table.py`."""

import math
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from engine.detectors.contract import Observation, Params
from engine.detectors.values import State, StateDetector
from engine.model import Finding

GROUP_CHARS_MAX = 64


class FairnessParams(Params, frozen=True):
    """`above`: difference of two rates, 0 to 1; `sure`: standard errors by which it must be more; `window`: decisions.

    `measure`: which difference; `min_events`: decisions that a group needs to be compared; `groups_max`: groups kept.
    """

    above: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.1
    sure: Annotated[float, Meta(ge=0.0, le=20.0)] = 4.0
    window: Annotated[int, Meta(ge=20, le=50_000)] = 2_000
    measure: Literal["parity", "odds"] = "parity"
    min_events: Annotated[int, Meta(ge=5, le=10_000)] = 100
    groups_max: Annotated[int, Meta(ge=2, le=200)] = 20


class _State(State):
    groups: list[str] = []
    decisions: bytes = b""


class _Rate(NamedTuple):
    group: str
    rate: float
    size: int


class Fairness(StateDetector[FairnessParams]):
    """Groups that fare differently: highest rate - lowest rate - `sure` standard errors > `above`.

    `of` is `{"group": …, "predicted": true, "actual": true}` (`actual` for odds only). With `parity` the rates are
    shares of positive decisions (demographic parity); with `odds` those among the truly positive, and among the truly
    negative, whichever differ more (equalised odds). Standard error: sqrt(r (1 - r) / n) of both, added in squares,
    with one decision of each kind added to a group.

    Parameters: `above` (difference, 0.1), `sure` (standard errors, 4), `window` (decisions, 2,000), `measure`
    (`parity` or `odds`), `min_events` (decisions per group, 100), `groups_max` (20; further groups are left out).
    False alarms: of 40 keys of 6,000 decisions about two equal groups, 25 passed 0 at 2 standard
    errors, none at 3 and 4.
    Use `ratio` for the rate of one group against a limit, `psi` for a change in the mix of groups.
    Source: Dwork et al. (2012), Fairness through Awareness; Hardt, Price and Srebro (2016), Equality of Opportunity in
    Supervised Learning, NeurIPS.

    >>> from engine.detectors.contract import Observation
    >>> detector = Fairness(FairnessParams(window=400, min_events=50))
    >>> seen = [{"group": "ab"[i % 2], "predicted": i % 4 < 2 + i % 2 or i % 8 == 3} for i in range(400)]
    >>> seen += [{"group": "ab"[i % 2], "predicted": i % 2 == 0} for i in range(300)]
    >>> found = [detector.update(Observation(i, f"e{i}", "s", of=of)) for i, of in enumerate(seen)]
    >>> next(finding.detail for finding in found if finding)
    'positive decisions: 71.5% of `a` (200), 42.5% of `b` (200)'
    """

    method = "fairness"
    params_type = FairnessParams
    state_type = _State
    needs_of = True

    def restored(self) -> None:
        state, params = self.state, self.params
        size = len(state.decisions)
        if len(state.groups) > params.groups_max or size > 2 * params.window or size % 2:
            raise ValueError("more groups or decisions than there can be")
        # Per group: decisions and positive ones, all, of the truly positive, and of the truly negative.
        self._counts = [[0] * 6 for _ in state.groups]
        for place in range(0, size, 2):
            if state.decisions[place] >= len(state.groups):
                raise ValueError("a decision about no group")
            self._add(state.decisions[place], state.decisions[place + 1], 1)

    def update(self, observation: Observation) -> Finding | None:
        of, state = observation.of, self.state
        if not isinstance(of, dict):
            return None
        group, predicted, actual = of.get("group"), of.get("predicted"), of.get("actual")
        if not isinstance(group, str) or not isinstance(predicted, bool):
            return None
        if self.params.measure == "odds" and not isinstance(actual, bool):
            return None
        group = group[:GROUP_CHARS_MAX].encode("utf-8", "replace").decode()
        if group not in state.groups:
            if len(state.groups) == self.params.groups_max:
                return None
            state.groups.append(group)
            self._counts.append([0] * 6)
        code = predicted + 2 * (actual is True) + 4 * (actual is False)
        place = state.groups.index(group)
        self._add(place, code, 1)
        state.decisions += bytes((place, code))
        if len(state.decisions) > 2 * self.params.window:
            self._add(state.decisions[0], state.decisions[1], -1)
            state.decisions = state.decisions[2:]
        return self._judge(observation.event_id)

    def _add(self, place: int, code: int, sign: int) -> None:
        counts, positive = self._counts[place], code & 1
        for column, counted in ((0, True), (2, code & 2), (4, code & 4)):
            if counted:
                counts[column] += sign
                counts[column + 1] += sign * positive

    def _judge(self, event_id: str) -> Finding | None:
        columns = {"parity": ((0, "positive decisions"),), "odds": ((2, "true positives"), (4, "false positives"))}
        for column, name in columns[self.params.measure]:
            rates = list(self._rates(column))
            if len(rates) < 2:
                continue
            low, high = min(rates, key=lambda each: each.rate), max(rates, key=lambda each: each.rate)
            gap = high.rate - low.rate
            if gap - self.params.sure * math.hypot(_error(low), _error(high)) <= self.params.above:
                continue
            most, least = (f"{each.rate:.1%} of `{each.group}` ({each.size})" for each in (high, low))
            detail = f"{name}: {most}, {least}"
            return Finding(detail=detail, value=gap, threshold=self.params.above, event_ids=(event_id,))
        return None

    def _rates(self, column: int) -> Iterable[_Rate]:
        for group, counts in zip(self.state.groups, self._counts, strict=True):
            if counts[column] >= self.params.min_events:
                yield _Rate(group, counts[column + 1] / counts[column], counts[column])

    def bytes_max(self) -> int:
        return 64 + 2 * self.params.window + self.params.groups_max * (4 * GROUP_CHARS_MAX + 5)


def _error(rate: _Rate) -> float:
    share = (rate.rate * rate.size + 1.0) / (rate.size + 2.0)
    return math.sqrt(share * (1.0 - share) / rate.size)

"""A yardstick learnt once: the first values of a key to a centre and a scale. Used by `ewma` and `cusum`.

The centre is the median and the scale comes from the MAD, so that a few odd values while learning do no harm. After
that both stay as they are: a chart that kept learning would follow the very shift it is to find.
"""

from typing import Annotated

from msgspec import Meta

from engine.detectors.contract import Params
from engine.detectors.values import SortedWindow, State

Learnt = Annotated[int, Meta(ge=10, le=10_000)]


class ReferenceParams(Params, frozen=True):
    """`reference`: observations to learn from; or `centre` and `scale`, known beforehand, in the unit of the value.

    `floor`: the learnt scale counts as at least this share of the centre; `floor_abs`: and as at least this.
    """

    reference: Learnt = 100
    centre: float | None = None
    scale: Annotated[float, Meta(gt=0.0)] | None = None
    floor: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.01
    floor_abs: Annotated[float, Meta(ge=0.0)] = 0.0

    def __post_init__(self) -> None:
        if (self.centre is None) != (self.scale is None):
            raise ValueError("`centre` and `scale` go together; leave out both to learn them")


class ReferenceState(State):
    """What was learnt; `learning` is emptied when there is enough."""

    learning: list[float] = []
    centre: float | None = None
    scale: float = 1.0


def standardise(value: float, state: ReferenceState, params: ReferenceParams) -> float | None:
    """The value in scales from the centre; None while there is no yardstick yet (the value then goes into it)."""
    if state.centre is None:
        if params.centre is None or params.scale is None:
            _learn(value, state, params)
            return None
        state.centre, state.scale = params.centre, params.scale
    return (value - state.centre) / state.scale


def _learn(value: float, state: ReferenceState, params: ReferenceParams) -> None:
    state.learning.append(value)
    if len(state.learning) >= params.reference:
        window = SortedWindow(params.reference, state.learning)
        state.centre = window.median()
        learnt = window.scale(state.centre)
        state.scale = max(learnt, params.floor * abs(state.centre), params.floor_abs, 1e-300)
        state.learning = []

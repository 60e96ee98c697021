"""`min`: values to a finding, where their minimum over a window lies beyond a bound; found by name in `table.py`."""

from engine.detectors.windowed import ValueWindow


class Min(ValueWindow):
    """The smallest `value` in the window that ends with each observation.

    Parameters: `above`, `below` (unit of the value), `within` (event time), `min_events` (observations, 1).
    `above` asks that not one value of the window was small: a level that never came down.
    False alarms: those of the bound you choose. One outlier decides: for a sturdier figure use `quantile`.
    Source: docs/rules.md, Exact meaning, 15.

    >>> from engine.clock import Duration
    >>> from engine.detectors.contract import Observation
    >>> from engine.detectors.windowed import BoundParams
    >>> detector = Min(BoundParams(above=0.9, within=Duration(2), min_events=2))
    >>> [detector.update(Observation(i, f"e{i}", "s", v)) is not None for i, v in enumerate([0.1, 0.95, 0.95, 0.95])]
    [False, False, False, True]
    """

    method = "min"

    def merge(self, amounts: list[float]) -> float:
        return min(amounts)

"""`mean`: values to a finding, where their mean over a window lies beyond a bound; found by name in `table.py`."""

from engine.detectors.windowed import ValueWindow


class Mean(ValueWindow):
    """The arithmetic mean of `value` over the window that ends with each observation.

    Parameters: `above`, `below` (unit of the value), `within` (event time), `min_events` (observations, 1).
    False alarms: those of the bound you choose; ask for `min_events`, or one odd value after a pause is the mean.
    For tails use `quantile`; where no bound is known, `robust-z` or `ewma`.
    Source: docs/rules.md, Exact meaning, 15.

    >>> from engine.clock import Duration
    >>> from engine.detectors.contract import Observation
    >>> from engine.detectors.windowed import BoundParams
    >>> detector = Mean(BoundParams(below=0.5, within=Duration(100), min_events=2))
    >>> [detector.update(Observation(i, f"e{i}", "s", v)) is not None for i, v in enumerate([0.1, 0.8, 0.9, 0.0])]
    [False, True, False, True]
    """

    method = "mean"

    def figure(self, amount: float, count: int) -> float:
        return amount / count

"""`sum`: values to a finding, where their sum over a window lies beyond a bound; found by name in `table.py`."""

from engine.detectors.windowed import ValueWindow


class Sum(ValueWindow):
    """The sum of `value` over the window that ends with each observation.

    Parameters: `above`, `below` (unit of the value), `within` (event time), `min_events` (observations, 1).
    Exact while the key has few observations in memory; then those of one 64th of `within` leave together.
    False alarms: those of the bound you choose. For a number of events use `count`; for a level use `mean`.
    Source: docs/rules.md, Exact meaning, 15.

    >>> from engine.clock import Duration
    >>> from engine.detectors.contract import Observation
    >>> from engine.detectors.windowed import BoundParams
    >>> detector = Sum(BoundParams(above=10.0, within=Duration(5)))
    >>> [detector.update(Observation(i, f"e{i}", "s", 4.0)) is not None for i in (0, 1, 2, 20)]
    [False, False, True, False]
    """

    method = "sum"

"""What the rest of the engine sees of a CEL expression: something with a source text that evaluates on an activation.

`engine.cel.compile` turns text into `Expression`s; how one is evaluated (a Python code object or the C++ runtime)
is its own affair. Both ways give the same values and the same faults.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from engine.model import Event, Incident, Json, Signal, Struct, Target


class CelFault(Exception):  # noqa: N818  # a fault is data for the caller, counted against its rule
    """The expression has no value on this input (missing key, wrong type, overflow, …); the message says why."""


class Scope(Struct, frozen=True):
    """Variables of one evaluation: `event`, in steps also `incident` and `signals`; `target` in guards; `topic` and
    `payload` where a message is mapped to an event.

    In CEL, `event` has `id source type time subject datacontenttype data ext` (`time` is a timestamp; `subject` is
    missing where the event has none); `incident` has `id type rule severity key state`; `signals["ID"]` has `event`,
    `value`, `threshold`, `key`; `target` has `kind name labels`; `topic` is the list of the levels of an MQTT topic.
    """

    event: Event | None = None
    incident: Incident | None = None
    signals: Mapping[str, Signal] | None = None
    target: Target | None = None
    topic: tuple[str, ...] = ()
    payload: Json = None


class Expression(Protocol):
    """A checked CEL expression."""

    source: str
    """Its text, as in the rule file."""
    result: str
    """The static type of its value: `bool`, `string`, `int`, `double`, `dyn`, …"""
    compiled: bool
    """True when it runs as a Python code object, False when the C++ runtime evaluates it."""

    def evaluate(self, scope: Scope) -> Any:
        """The value as plain Python (bool, int, float, str, bytes, None, list, dict, datetime, timedelta).

        Raises CelFault where CEL has an error.
        """
        ...

    def of_event(self, event: Event) -> Any:
        """The same with the event as all there is in the scope: the hot path, spared the making of one."""
        ...

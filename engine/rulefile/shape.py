"""The tables of a rule file as structs: which keys they may have, of which type, within which bounds.

`engine.structread` judges tables by these; what a key means across tables is checked by the builders. Keys that are
judged elsewhere (`detect`, the phases of a playbook, the parameters of a step) are not fields here.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from engine.clock import Duration, PositiveDuration
from engine.model import Mode, OnFailure, Severity, Struct

Texts = str | tuple[str, ...]
"""One text, or a list of them."""
Few = Annotated[int, Meta(ge=1, le=1_000)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number that CEL can hold."""
NAMES_MAX = 10_000
"""Most signals in one list of a `when`."""
VALUES_MAX = 200_000
"""Most values of one `[list.ID]`."""

Named = str | Int64 | float | bool
"""A value of a `[list.ID]` or `[value.ID]`, without parts of its own."""
Names = Annotated[tuple[str, ...], Meta(max_length=NAMES_MAX)]


class SignalTable(Struct, frozen=True):
    """`[signal.ID]` but for `detect`."""

    on: Texts
    where: str | None = None
    by: dict[str, str] = {}
    value: str | None = None
    for_: Duration = msgspec.field(name="for", default=Duration(0))
    cooldown: Duration = Duration(0)
    title: str = ""
    description: str = ""


class DetectTable(Struct, frozen=True):
    """`detect` but for the parameters of the method."""

    method: str
    of: str | None = None


class NoKeys(Struct, frozen=True):
    """A table of which all keys are judged elsewhere: `watched`."""


class WhenTable(Struct, frozen=True):
    """`when` of a rule."""

    all: Names | None = None
    any: Names | None = None
    sequence: Names | None = None
    at_least: Annotated[int, Meta(ge=1, le=NAMES_MAX)] | None = None
    within: Duration | None = None
    none: Names | None = None
    wait: Duration | None = None
    corroborate: Few | None = None


class RuleTable(Struct, frozen=True):
    """`[rule.ID]`."""

    incident: str
    severity: Severity
    when: WhenTable
    by: Names = ()
    playbook: str | None = None
    mode: Mode = Mode.ENFORCE
    tags: Texts = ()
    title: str = ""
    description: str = ""
    references: Texts = ()
    owner: str = ""
    false_positives: Texts = ()


class PlaybookTable(Struct, frozen=True):
    """`[playbook.ID]` but for its phases."""

    title: str = ""
    description: str = ""


class StepTable(Struct, frozen=True):
    """One step but for the parameters of its action."""

    do: str
    on_failure: OnFailure = OnFailure.STOP
    hold: PositiveDuration | None = None
    timeout: PositiveDuration | None = None
    retries: Annotated[int, Meta(ge=0, le=100)] | None = None
    approve: bool = False
    when: str | None = None


class ListTable(Struct, frozen=True):
    """`[list.ID]`."""

    values: Annotated[tuple[Named, ...], Meta(max_length=VALUES_MAX)]
    description: str = ""


class ValueTable(Struct, frozen=True):
    """`[value.ID]`."""

    value: Named | Annotated[dict[str, Named], Meta(max_length=VALUES_MAX)]
    description: str = ""


class IncidentTable(Struct, frozen=True):
    """`[incident.ID]`."""

    description: str = ""
    title: str = ""


def texts(value: Texts) -> tuple[str, ...]:
    """One text or several, as several."""
    return (value,) if isinstance(value, str) else value

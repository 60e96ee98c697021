"""Turns log calls, structlog's and the standard library's, into lines: JSON for the journal, colour on a terminal.

`app` and `cli` call `setup` once. The functions below it write one line per decision, each with the ids of what it
came from, so that an event can be followed to its outcome: event, signal, incident, intent, lease.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import msgspec
import structlog

from engine.clock import SECOND_US, Clock, SystemClock, format_time
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    Fault,
    Incident,
    Intent,
    Lease,
    Outcome,
    Refused,
    Secret,
    Signal,
    Unverified,
    format_key,
)

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

SIGNAL_LINES_PER_S_MAX = 10
"""Lines per second and signal id, or incident that absorbs; the next line past it says how many were left out."""
TEXT_CHARS_MAX = 4_000
"""A longer value is cut: one message must not fill the journal."""
SIGNAL_IDS_MAX = 10_000

_REDACTED = "***"
_DEPTH_MAX = 6
_QUIET = {"aiohttp.access": logging.WARNING, "mqtt": logging.WARNING, "asyncio": logging.WARNING}
"""Loggers of libraries that would tell of each request or packet."""
_levelled: set[str] = set()
"""Loggers that the last set-up gave a level of their own: logging keeps such things for the process."""


def setup(
    level: Level = "info",
    log_format: Format = "auto",
    *,
    clock: Clock | None = None,
    stream: TextIO | None = None,
    levels: Mapping[str, Level] | None = None,
) -> None:
    """Sends everything that is logged to `stream` (standard error by default), one line each, times in UTC.

    `auto` is colour where the stream is a terminal and JSON elsewhere. `levels` gives single loggers their own level.
    May be called again: the last call holds.
    """
    out = stream if stream is not None else sys.stderr
    terminal = out.isatty()
    as_json = log_format == "json" or (log_format == "auto" and not terminal)
    shared = _shared_processors(clock or SystemClock())
    render: list[structlog.types.Processor] = (
        [structlog.processors.format_exc_info, _limit, _render_json]
        if as_json
        else [
            _limit,
            structlog.dev.ConsoleRenderer(
                colors=terminal,
                pad_event_to=28,
                timestamp_key="time",
                # Not the default, which prints the local variables of each frame: a secret may be among them.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _redact],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    for old in [each for each in root.handlers if getattr(each, "halon", False)]:
        root.removeHandler(old)
    handler.halon = True  # type: ignore[attr-defined]  # marks it as ours for the next set-up
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, root.level))
    for name in _levelled - set(levels or {}):
        logging.getLogger(name).setLevel(_QUIET.get(name, logging.NOTSET))
    _levelled.clear()
    for name, wanted in (levels or {}).items():
        logging.getLogger(name).setLevel(wanted.upper())
        _levelled.add(name)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            _redact,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a part, such as `halon.intake`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


class DecisionLog:
    """One line per decision. The pipeline and the containment hand over what they decided."""

    def __init__(self, clock: Clock) -> None:
        self._log = get_logger("halon.decision")
        self._clock = clock
        self._window_us: dict[str, tuple[int, int]] = {}

    def signal(self, signal: Signal) -> None:
        """A detector found something."""
        left_out = self._left_out(signal.signal)
        if left_out is None:
            return
        self._log.info(
            "signal",
            signal=signal.signal,
            key=format_key(signal.key),
            at=format_time(signal.at_us),
            detail=signal.finding.detail,
            value=signal.finding.value,
            threshold=signal.finding.threshold,
            event_id=signal.event.id if signal.event else None,
            left_out=left_out or None,
        )

    def absorbed(self, incident: Incident) -> None:
        """An open incident took in more signals."""
        left_out = self._left_out(incident.id)
        if left_out is not None:
            self.incident(incident, "absorbed", left_out=left_out)

    def incident(self, incident: Incident, what: str = "opened", *, left_out: int = 0) -> None:
        """An incident opened, took in more signals, or changed its state: `what`."""
        trigger = incident.signals[-1].event if incident.signals else None
        self._log.warning(
            f"incident {what}",
            incident=incident.id,
            incident_type=incident.incident,
            rule=incident.rule,
            severity=incident.severity.value,
            key=format_key(incident.key),
            state=incident.state.value,
            signals=sorted({signal.signal for signal in incident.signals}),
            absorbed=incident.absorbed,
            event_id=trigger.id if trigger else None,
            left_out=left_out or None,
        )

    def intent(self, intent: Intent) -> None:
        """A step was decided and is durable."""
        self._log.info(
            "intent",
            intent=intent.id,
            incident=intent.incident,
            phase=intent.phase.value,
            action=intent.action,
            verdict=intent.verdict.value,
            reason=intent.reason or None,
        )

    def outcome(self, intent: Intent, outcome: Outcome, *, verified: bool, latency_us: int | None = None) -> None:
        """What one step did. Only `verified` counts as contained; `latency_us` is from the event to this outcome."""
        word, text = _outcome_words(outcome)
        log = self._log.info if verified else self._log.warning
        log(
            "outcome",
            intent=intent.id,
            incident=intent.incident,
            action=intent.action,
            outcome=word,
            verified=verified,
            detail=text or None,
            latency_ms=None if latency_us is None else latency_us / 1_000,
        )

    def lease(self, lease: Lease, what: str) -> None:
        """A lease was taken, shared, put in place again, released or has expired: `what`."""
        self._log.info(
            f"lease {what}",
            lease=lease.id,
            intent=lease.intent,
            incidents=list(lease.holders),
            action=lease.action,
            target=f"{lease.target.kind}:{lease.target.name}",
            state=lease.state.value,
            expires=format_time(lease.expires_us),
            detail=lease.detail or None,
        )

    def fault(self, fault: Fault) -> None:
        """An expression or detector could not be evaluated on an event."""
        left_out = self._left_out(f"fault {fault.owner}")
        if left_out is None:
            return
        self._log.warning(
            "fault",
            owner=fault.owner,
            field=fault.field,
            reason=fault.reason,
            event_id=fault.event_id or None,
            left_out=left_out or None,
        )

    def steering(self, act: str, *, who: str, **details: object) -> None:
        """A person steered the daemon."""
        self._log.warning("steering", act=act, who=who, **details)

    def _left_out(self, name: str) -> int | None:
        """None when this line is one too many for its second; else how many were left out before it."""
        second = self._clock.now_us() // SECOND_US
        if name not in self._window_us and len(self._window_us) >= SIGNAL_IDS_MAX:
            self._window_us.clear()
        since, count = self._window_us.get(name, (second, 0))
        left_out = 0
        if since != second:
            left_out, count = max(0, count - SIGNAL_LINES_PER_S_MAX), 0
        self._window_us[name] = (second, count + 1)
        return left_out if count < SIGNAL_LINES_PER_S_MAX else None


def _outcome_words(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Applied(detail=detail):
            return "applied", detail
        case AlreadyInPlace(detail=detail):
            return "already-in-place", detail
        case Refused(reason=reason):
            return "refused", reason
        case Failed(error=error):
            return "failed", error
        case Unverified(reason=reason):
            return "unverified", reason


def _shared_processors(clock: Clock) -> list[structlog.types.Processor]:
    def stamp(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        entry["time"] = format_time(clock.now_us())
        return entry

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        stamp,
    ]


def _redact(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Puts `***` in the place of every `Secret`, wherever it is nested; None values go."""
    return {name: _clean(value, 0) for name, value in entry.items() if value is not None or name.startswith("_")}


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, Secret):
        return _REDACTED
    if isinstance(value, str):
        return _text(value)
    if depth >= _DEPTH_MAX:
        return value if isinstance(value, str | int | float | bool | None) else "…"
    if isinstance(value, msgspec.Struct):
        return {name: _clean(getattr(value, name), depth + 1) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {_text(str(name)): _clean(each, depth + 1) for name, each in value.items()}
    if type(value) in {list, tuple, set, frozenset}:
        return [_clean(each, depth + 1) for each in value]
    return value


def _text(value: str) -> str:
    """`value` with a mark in the place of lone surrogates, which JSON from outside may hold and UTF-8 can't."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _limit(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in entry.items():
        if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
            entry[name] = f"{value[:TEXT_CHARS_MAX]}… ({len(value)} characters)"
    return entry


def _render_json(_: object, __: str, entry: MutableMapping[str, Any]) -> str:
    first = {name: entry.pop(name) for name in ("time", "level", "logger", "event") if name in entry}
    return msgspec.json.encode({**first, **entry}, enc_hook=repr).decode()

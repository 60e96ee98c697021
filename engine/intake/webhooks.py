"""Well-known webhooks to events: Alertmanager (version 4), Falco, Kubernetes audit. `engine.intake.http` calls.

Ids come from what the sender says of itself, so that a webhook sent again is the same event.
"""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from engine.clock import TIME_MAX_US, TIME_MIN_US, parse_time_us
from engine.cloudevents import SPEC_VERSION, Malformed, event_from
from engine.model import Event, Json

ITEMS_MAX = 10_000


class _Alert(msgspec.Struct):
    status: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: str = ""  # noqa: N815  # Alertmanager's names
    endsAt: str = ""  # noqa: N815
    generatorURL: str = ""  # noqa: N815
    fingerprint: str = ""


class _Notification(msgspec.Struct):
    version: str
    alerts: list[_Alert]
    receiver: str = ""
    groupKey: str = ""  # noqa: N815
    externalURL: str = ""  # noqa: N815


class _FalcoAlert(msgspec.Struct):
    rule: str
    priority: str
    output: str = ""
    time: str = ""
    uuid: str = ""
    hostname: str = ""


class _AuditList(msgspec.Struct):
    kind: str
    items: list[dict[str, Any]]


_NOTIFICATION = msgspec.json.Decoder(_Notification)
_FALCO = msgspec.json.Decoder(_FalcoAlert)
_AUDIT = msgspec.json.Decoder(_AuditList)
_ANY = msgspec.json.Decoder()

Events = list[Event] | Malformed
T = TypeVar("T")


def alertmanager(raw: bytes, *, source: str, arrived_us: int) -> Events:
    """Each alert of a notification is an event `prometheus.alert.firing` or `….resolved`, its subject the alert's name.

    The time is that of arrival (the alert's own `startsAt` may be long past and stands in the data). Alertmanager
    repeats what still fires: that is the same event as before.
    """
    message = _decode(_NOTIFICATION, raw)
    if isinstance(message, Malformed):
        return message
    if message.version != "4":
        return Malformed(f'version {message.version!r} of Alertmanager\'s webhook; only "4" is known')
    if len(message.alerts) > ITEMS_MAX:
        return Malformed(f"{len(message.alerts)} alerts in one notification; at most {ITEMS_MAX} are taken")
    events: list[Event] = []
    for index, alert in enumerate(message.alerts):
        if alert.status not in {"firing", "resolved"}:
            return Malformed(f"`alerts[{index}].status` is neither `firing` nor `resolved`")
        ended = alert.endsAt if alert.status == "resolved" else ""
        identity = alert.fingerprint or repr(sorted(alert.labels.items()))
        data = {**msgspec.to_builtins(alert), "receiver": message.receiver, "groupKey": message.groupKey}
        event = _event(
            f"alerts[{index}]",
            arrived_us,
            id=_hash(source, identity, alert.status, alert.startsAt, ended),
            source=message.externalURL or source,
            type=f"prometheus.alert.{alert.status}",
            subject=alert.labels.get("alertname") or None,
            data=data,
        )
        if isinstance(event, Malformed):
            return event
        events.append(event)
    return events


def falco(raw: bytes, *, source: str, arrived_us: int) -> Events:
    """Falco's `http_output` (JSON): one event `falco.alert`, its subject the host's name."""
    alert = _decode(_FALCO, raw)
    if isinstance(alert, Malformed):
        return alert
    event = _event(
        "",
        _time_us(alert.time, arrived_us),
        id=alert.uuid or _hash(source, raw.decode("utf-8", "replace")),
        source=f"{source}/{alert.hostname}" if alert.hostname else source,
        type="falco.alert",
        subject=alert.hostname or None,
        data=_ANY.decode(raw),
    )
    return event if isinstance(event, Malformed) else [event]


def kubernetes_audit(raw: bytes, *, source: str, arrived_us: int) -> Events:
    """An audit webhook's `EventList`: each item is an event `kubernetes.audit.VERB`.

    Its subject is `NAMESPACE/RESOURCE/NAME` of the object, as far as the item names them.
    """
    message = _decode(_AUDIT, raw)
    if isinstance(message, Malformed):
        return message
    if message.kind != "EventList":
        return Malformed("`kind` is not `EventList`")
    if len(message.items) > ITEMS_MAX:
        return Malformed(f"{len(message.items)} items in one list; at most {ITEMS_MAX} are taken")
    events: list[Event] = []
    for index, item in enumerate(message.items):
        audit, stage, verb = item.get("auditID"), item.get("stage"), item.get("verb")
        if not (isinstance(audit, str) and audit and isinstance(stage, str) and isinstance(verb, str) and verb):
            return Malformed(f"`items[{index}]` lacks `auditID`, `stage` or `verb`")
        target = item.get("objectRef")
        names = [target.get(part) for part in ("namespace", "resource", "name")] if isinstance(target, dict) else []
        event = _event(
            f"items[{index}]",
            _time_us(item.get("stageTimestamp"), arrived_us),
            id=f"{audit}/{stage}",
            source=source,
            type=f"kubernetes.audit.{verb}",
            subject="/".join(each for each in names if isinstance(each, str) and each) or None,
            data=item,
        )
        if isinstance(event, Malformed):
            return event
        events.append(event)
    return events


WEBHOOKS: dict[str, Callable[..., Events]] = {
    "alertmanager": alertmanager,
    "falco": falco,
    "kubernetes-audit": kubernetes_audit,
}
"""Each takes the body, the source to name and the time of arrival."""


def _decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T | Malformed:
    try:
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        return Malformed(f"not UTF-8: {error.reason} at byte {error.start}")
    except msgspec.ValidationError as error:
        return Malformed(f"not what this sender's format wants: {error}")
    except msgspec.DecodeError as error:
        return Malformed(f"not JSON: {error}")
    except RecursionError:
        return Malformed("nested too deeply")


def _event(place: str, time_us: int, **members: Json) -> Event | Malformed:
    event = event_from({"specversion": SPEC_VERSION, **members}, arrived_us=time_us)
    return Malformed(f"`{place}`: {event.reason}") if isinstance(event, Malformed) and place else event


def _time_us(text: Json, arrived_us: int) -> int:
    """The time a sender names, or that of arrival where it names none that can be read."""
    try:
        time_us = parse_time_us(text) if isinstance(text, str) and text else arrived_us
    except ValueError:
        return arrived_us
    return time_us if TIME_MIN_US <= time_us <= TIME_MAX_US else arrived_us


def _hash(*parts: str) -> str:
    whole = "\0".join(parts).encode("utf-8", "surrogatepass")
    return f"sha256-{hashlib.sha256(whole).hexdigest()[:32]}"

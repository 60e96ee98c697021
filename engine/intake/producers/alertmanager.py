"""Notifications of Prometheus Alertmanager (webhook, version 4) to `service.alert` events."""

from collections.abc import Iterator

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.reading import Part, at_place, digest, known, make_event, read_json
from engine.model import Event, Json

TARGET_PREFIX = "halon_"
_WHOLE_NUMBERS = frozenset(("pid", "started", "endpoint_port", "version"))
_OWN = frozenset(("status", "severity", "summary", "labels", "annotations"))


class Alertmanager(Producer):
    """Prometheus Alertmanager, its webhook of version 4. Each alert of a notification is an event.

    The time is that of arrival: `startsAt` may be long past, and stands in the data. Alertmanager repeats what still
    fires; that is the same event as before. A resolution is an event of its own.

    An annotation that begins with `halon_` becomes a field without it: so an alert rule says where a playbook may act
    (`halon_backend: chat`, `halon_server: "{{ $labels.server }}"`). Labels never become a target: whoever exports a
    metric chooses them, and Prometheus gives `instance` and `job` meanings of its own; they stand in `labels`.
    `endpoint` is the annotation `halon_endpoint`, or else the label `service`, or else `endpoint`.
    """

    name = "alertmanager"
    title = "Prometheus Alertmanager"
    types = ("service.alert",)
    connect = """
In `alertmanager.yml`; leave `max_alerts` at 0, what it cuts off does not come:

```yaml
receivers:
  - name: halon
    webhook_configs:
      - url: http://halon.internal:8480/events/alertmanager
        send_resolved: true
        http_config:
          authorization: { type: Bearer, credentials_file: /etc/alertmanager/halon-token }
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        body = read_json(message.body)
        if isinstance(body, Malformed):
            yield body
            return
        version = body.name("version")
        if version != "4" or not isinstance(body.at("alerts").value, list):
            yield Malformed(
                f"version {version!r} of Alertmanager's webhook; only '4' is known"
                if version is not None and version != "4"
                else "not a notification of Alertmanager: `version` or `alerts` is missing"
            )
            return
        for index, alert in enumerate(body.items("alerts")):
            yield _alert(message, body, f"alerts[{index}]", alert)
        lost = body.integer("truncatedAlerts")
        if lost:
            yield Malformed(f"Alertmanager left out {lost} alerts of the group: raise `max_alerts` of its webhook")


def _alert(message: Message, body: Part, place: str, alert: Part) -> Event | Malformed:
    status = alert.text("status")
    if status not in {"firing", "resolved"}:
        return at_place(place, "`status` is neither `firing` nor `resolved`")
    labels, annotations = alert.texts("labels"), alert.texts("annotations")
    starts, ends = alert.text("startsAt"), alert.text("endsAt") if status == "resolved" else None
    named = _targets(annotations)
    data = known(
        **{
            **named,
            "status": status,
            "severity": alert.name("labels", "severity"),
            "summary": annotations.get("summary") or annotations.get("description"),
            "endpoint": named.get("endpoint") or labels.get("service") or labels.get("endpoint"),
            "labels": alert.table("labels"),
            "annotations": alert.table("annotations"),
            "starts_at": starts,
            "ends_at": ends,
            "receiver": body.name("receiver"),
            "url": alert.text("generatorURL"),
        }
    )
    identity = alert.text("fingerprint") or repr(sorted(labels.items()))
    return make_event(
        message,
        place,
        id=digest(message.source, identity, status, starts, ends),
        source=body.text("externalURL") or "",
        type="service.alert",
        subject=alert.name("labels", "alertname"),
        data=data,
    )


def _targets(texts: dict[str, str]) -> dict[str, Json]:
    """The fields that annotations name for Halon, whole numbers where the field is one."""
    found: dict[str, Json] = {}
    for name, text in texts.items():
        field = name.removeprefix(TARGET_PREFIX)
        if field != name and field and field not in _OWN:
            found[field] = Part(text).integer() if field in _WHOLE_NUMBERS else text
    return found

"""Kubernetes Event objects, as exporters deliver them, to `k8s.event` events."""

from collections.abc import Iterator

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.kubernetes import endpoint, subject, targets
from engine.intake.producers.reading import Part, at_place, digest, known, make_event, read_lines, rfc3339_us
from engine.model import Event


class KubernetesEvents(Producer):
    """Event objects of Kubernetes, `v1` or `events.k8s.io/v1`, as kubernetes-event-exporter and its kin deliver them.

    One object, an array, an `EventList`, one per line, or each in the envelope of a watch (`type`, `object`). An object
    that is updated because the same happened again is a new event; `count` says how often. Labels of a pod, which the
    exporter adds, are those by which `kubernetes.isolate` finds it; one of them names the `endpoint` that it serves
    (`halon.endpoint`, KServe's, `app.kubernetes.io/name`, `app`, `k8s-app`).
    """

    name = "kubernetes-events"
    title = "Kubernetes events"
    types = ("k8s.event",)
    connect = """
kubernetes-event-exporter, in its `config.yaml`; without `layout` it sends the object as it is:

```yaml
route:
  routes:
    - match: [{ receiver: halon }]
receivers:
  - name: halon
    webhook:
      endpoint: http://halon.internal:8480/events/kubernetes
      headers: { Authorization: "Bearer TOKEN" }
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        for place, found in read_lines(message.body):
            if isinstance(found, Malformed):
                yield found
            elif isinstance(found.at("items").value, list):
                for index, item in enumerate(found.items("items")):
                    yield _happened(message, f"{place}items[{index}]", item)
            elif isinstance(found.at("object").value, dict):
                if found.text("type") in {"ADDED", "MODIFIED"}:  # the others say that the object is gone
                    yield _happened(message, place or "object", found.at("object"))
            else:
                yield _happened(message, place, found)


def _happened(message: Message, place: str, event: Part) -> Event | Malformed:
    about = event.at("involvedObject") if event.at("involvedObject").value else event.at("regarding")
    reason, kind, name = event.name("reason"), about.name("kind"), about.name("name")
    if reason is None or kind is None:
        return at_place(place, "not an Event of Kubernetes: `reason` or `involvedObject.kind` is missing")
    # A node is in no namespace, though the object that tells of it is
    namespace = None if kind == "Node" else about.name("namespace") or event.name("metadata", "namespace")
    last = (
        event.text("series", "lastObservedTime")
        or event.text("lastTimestamp")
        or event.text("deprecatedLastTimestamp")
        or event.text("eventTime")
        or event.text("firstTimestamp")
    )
    count = event.integer("series", "count") or event.integer("count") or event.integer("deprecatedCount")
    return make_event(
        message,
        place,
        id=digest(
            message.source,
            event.text("metadata", "uid") or f"{event.text('metadata', 'name')} {namespace} {name} {reason}",
            event.text("metadata", "resourceVersion"),
            str(count),
            last,
        ),
        type="k8s.event",
        subject=subject(namespace, kind, name),
        time_us=rfc3339_us(last),
        data=known(
            reason=reason,
            message=event.text("message") or event.text("note"),
            kind=kind,
            name=name,
            namespace=namespace,
            level=event.name("type"),
            count=count,
            component=event.name("source", "component")
            or event.name("reportingComponent")
            or event.name("reportingController"),
            host=event.name("source", "host"),
            endpoint=endpoint(about.texts("labels")) if kind == "Pod" else None,
            pod_labels=about.table("labels") if kind == "Pod" else None,
            **targets(kind, name),
        ),
    )

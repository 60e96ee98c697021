"""Alerts of Falco to `runtime.alert` events."""

from collections.abc import Iterator

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.reading import Part, address, at_place, digest, known, make_event, read_lines, rfc3339_us
from engine.model import Event


class Falco(Producer):
    """Falco's JSON alerts, from its `http_output`, from Falcosidekick's webhook, or one per line of its file output.

    All output fields that have a value stand in `output_fields`. The number of the process is not taken over as `pid`:
    Falco counts it on its own host, and a playbook freezes processes on this one.
    """

    name = "falco"
    title = "Falco"
    types = ("runtime.alert",)
    connect = """
In `falco.yaml`. Falco sends no token of its own; give Falcosidekick one, or put the name and token into the address,
which Falco's client sends as HTTP Basic:

```yaml
json_output: true
json_include_output_property: true
http_output:
  enabled: true
  url: https://falco:TOKEN@halon.internal:8480/events/falco
```

Falcosidekick, in its `config.yaml`:

```yaml
webhook:
  address: http://halon.internal:8480/events/falco
  customHeaders: { Authorization: "Bearer TOKEN" }
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        for place, alert in read_lines(message.body):
            yield alert if isinstance(alert, Malformed) else _alert(message, place, alert)


def _alert(message: Message, place: str, alert: Part) -> Event | Malformed:
    rule, priority = alert.name("rule"), alert.name("priority")
    if rule is None or priority is None:
        return at_place(place, "not an alert of Falco: `rule` or `priority` is missing")
    fields = alert.at("output_fields")
    host = alert.name("hostname") or fields.name("evt.hostname")
    image, tag = fields.name("container.image.repository"), fields.name("container.image.tag")
    file = fields.text("fd.name")
    return make_event(
        message,
        place,
        id=alert.name("uuid")
        or digest(message.source, host, rule, alert.text("time"), alert.text("output"), repr(fields.value)),
        source=f"{message.source}/{host}" if host else "",
        type="runtime.alert",
        subject=host,
        time_us=rfc3339_us(alert.text("time")),
        data=known(
            rule=rule,
            priority=priority.lower(),
            output=alert.text("output"),
            process=fields.name("proc.name"),
            command=fields.text("proc.cmdline"),
            parent=fields.name("proc.pname"),
            user=fields.name("user.name"),
            container=_container(fields),
            image=f"{image}:{tag}" if image and tag else image,
            file=file if file and file.startswith("/") else None,
            address=address(fields.text("fd.rip")) or address(fields.text("fd.sip")),
            namespace=fields.name("k8s.ns.name"),
            pod=fields.name("k8s.pod.name"),
            sensor=alert.name("source"),
            tags=[each.value for each in alert.items("tags") if isinstance(each.value, str)],
            output_fields={name: each.value for name, each in fields.members().items() if each.value is not None},
        ),
    )


def _container(fields: Part) -> str | None:
    """The name of the container; `host` is Falco's word for none."""
    found = fields.name("container.name") or fields.name("container.id")
    return None if found == "host" else found

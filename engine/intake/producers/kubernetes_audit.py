"""Batches of the Kubernetes audit webhook to `k8s.audit` events."""

from collections.abc import Iterator

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.kubernetes import subject, targets
from engine.intake.producers.reading import Part, address, at_place, digest, known, make_event, read_json, rfc3339_us
from engine.model import Event


class KubernetesAudit(Producer):
    """The audit webhook of the Kubernetes API server (`audit.k8s.io/v1`). Each request is one event.

    A request passes several stages. `RequestReceived` says nothing of its end and is left out; the first of the others
    counts, so that an `exec` is told when it begins, and the later ones are duplicates of it. The audit id is chosen by
    whoever asks (header `Audit-ID`), so the event's id also holds the time at which the server received the request.
    `address` is the last of the source addresses, which the server saw itself: a caller can make up the others, and
    would have somebody else shut out. Where a load balancer stands in front it is that one's: put it under
    `guards.protected`.
    """

    name = "kubernetes-audit"
    title = "Kubernetes audit webhook"
    types = ("k8s.audit",)
    connect = """
For the API server, `--audit-webhook-config-file` names a file in the form of a kubeconfig, and
`--audit-policy-file` says what is worth telling: secrets, pods (`exec`), workloads, network policies and roles of the
namespaces that `list.model_namespaces` of rules/site.toml names, and cluster roles and their bindings, each at level
`Metadata`:

```yaml
apiVersion: v1
kind: Config
clusters:
  - name: halon
    cluster: { server: "https://halon.internal:8480/events/audit", certificate-authority: /etc/kubernetes/halon-ca.pem }
users:
  - name: apiserver
    user: { token: TOKEN }
contexts:
  - name: halon
    context: { cluster: halon, user: apiserver }
current-context: halon
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        body = read_json(message.body)
        if isinstance(body, Malformed):
            yield body
            return
        if body.at("kind").value != "EventList" or not isinstance(body.at("items").value, list):
            yield Malformed("not an audit batch: `kind` is not `EventList`, or `items` is missing")
            return
        for index, item in enumerate(body.items("items")):
            if item.at("stage").value != "RequestReceived":
                yield _request(message, f"items[{index}]", item)


def _request(message: Message, place: str, item: Part) -> Event | Malformed:
    audit, stage, verb = item.name("auditID"), item.name("stage"), item.name("verb")
    if audit is None or stage is None or verb is None:
        return at_place(place, "`auditID`, `stage` or `verb` is missing")
    target = item.at("objectRef")
    namespace, resource, name = target.name("namespace"), target.name("resource"), target.name("name")
    received = item.text("requestReceivedTimestamp")
    from_ = item.items("sourceIPs")
    return make_event(
        message,
        place,
        id=digest(message.source, audit, received or f"{stage} {item.text('stageTimestamp')}"),
        type="k8s.audit",
        subject=subject(namespace, resource, name),
        time_us=rfc3339_us(item.text("stageTimestamp")) or rfc3339_us(received),
        data=known(
            principal=item.name("user", "username"),
            impersonated=item.name("impersonatedUser", "username"),
            verb=verb,
            resource=resource,
            namespace=namespace,
            name=name,
            subresource=target.name("subresource"),
            group=target.name("apiGroup"),
            code=item.integer("responseStatus", "code"),
            address=address(from_[-1].text()) if from_ else None,
            decision=item.name("annotations", "authorization.k8s.io/decision"),
            agent=item.name("userAgent"),
            stage=stage,
            audit_id=audit,
            **targets(resource, name),
        ),
    )

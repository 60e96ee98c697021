"""engine.intake.webhooks: bodies of Alertmanager, Falco and Kubernetes audit to events."""

import json

import pytest

from engine.cloudevents import Malformed
from engine.intake.webhooks import WEBHOOKS, alertmanager, falco, kubernetes_audit

NOW_US = 1_800_000_000_000_000
ALERT = {
    "status": "firing",
    "labels": {"alertname": "GpuHot", "gpu": "3"},
    "annotations": {"summary": "hot"},
    "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "b1c2",
}
NOTIFICATION = {
    "version": "4",
    "groupKey": "{}:{}",
    "receiver": "halon",
    "status": "firing",
    "externalURL": "http://alertmanager:9093",
    "alerts": [ALERT],
}
FALCO = {
    "uuid": "9f6",
    "output": "shell in a container",
    "priority": "Warning",
    "rule": "Terminal shell in container",
    "time": "2026-01-01T00:00:00.123456789Z",
    "hostname": "node-1",
    "output_fields": {"proc.name": "bash"},
}
AUDIT = {
    "auditID": "a-1",
    "stage": "ResponseComplete",
    "verb": "delete",
    "stageTimestamp": "2026-01-01T00:00:00.5Z",
    "objectRef": {"namespace": "ml", "resource": "pods", "name": "run-7"},
    "user": {"username": "eve"},
}


def call(convert, body):
    return convert(json.dumps(body).encode(), source="/http/x", arrived_us=NOW_US)


def test_each_alert_of_a_notification_is_an_event():
    """Type by status, subject by name, time of arrival, all of the alert in the data."""
    resolved = {**ALERT, "status": "resolved", "endsAt": "2026-01-01T00:05:00Z"}
    firing, ended = call(alertmanager, {**NOTIFICATION, "alerts": [ALERT, resolved]})
    assert (firing.type, firing.subject, firing.source, firing.time_us) == (
        "prometheus.alert.firing",
        "GpuHot",
        "http://alertmanager:9093",
        NOW_US,
    )
    assert firing.data == {**ALERT, "receiver": "halon", "groupKey": "{}:{}"}
    assert ended.type == "prometheus.alert.resolved"
    assert ended.id != firing.id


def test_a_repeated_notification_is_the_same_event_and_a_new_firing_is_not():
    """Alertmanager says the same again every few hours; after a resolution it is a new start."""
    (first,), (again,) = call(alertmanager, NOTIFICATION), call(alertmanager, NOTIFICATION)
    later = {**ALERT, "startsAt": "2026-01-02T00:00:00Z"}
    (anew,) = call(alertmanager, {**NOTIFICATION, "alerts": [later]})
    assert first.id == again.id != anew.id


def test_falco_alerts_keep_their_id_time_and_host():
    """The uuid is the id; without one the body is hashed."""
    (event,) = call(falco, FALCO)
    assert (event.id, event.type, event.source, event.subject) == ("9f6", "falco.alert", "/http/x/node-1", "node-1")
    assert event.time_us == 1_767_225_600_123_456
    assert event.data == FALCO
    bare = {key: value for key, value in FALCO.items() if key not in {"uuid", "time", "hostname"}}
    (event,) = call(falco, bare)
    assert event.id.startswith("sha256-")
    assert (event.time_us, event.source, event.subject) == (NOW_US, "/http/x", None)


def test_audit_items_are_events_by_their_verb():
    """Id by audit id and stage, since each request passes several stages; subject by the object."""
    bare = {"auditID": "a-2", "stage": "RequestReceived", "verb": "list"}
    first, second = call(kubernetes_audit, {"kind": "EventList", "items": [AUDIT, bare]})
    assert (first.id, first.type, first.subject) == ("a-1/ResponseComplete", "kubernetes.audit.delete", "ml/pods/run-7")
    assert (first.time_us, first.data) == (1_767_225_600_500_000, AUDIT)
    assert (second.subject, second.time_us) == (None, NOW_US)


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00Z", "yesterday", ""])
def test_a_time_that_is_none_is_the_time_of_arrival(stamp):
    """Go's zero time and nonsense do not make an event of the year 1."""
    (event,) = call(falco, {**FALCO, "time": stamp})
    assert event.time_us == NOW_US


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("alertmanager", {**NOTIFICATION, "version": "3"}, "version '3' of Alertmanager's webhook"),
        ("alertmanager", {**NOTIFICATION, "alerts": [{**ALERT, "status": "odd"}]}, "`alerts[0].status` is neither"),
        ("alertmanager", {"version": "4"}, "not what this sender's format wants: "),
        ("alertmanager", {**NOTIFICATION, "externalURL": "\x00"}, "`alerts[0]`: `source` holds a control character"),
        ("alertmanager", {**NOTIFICATION, "alerts": [ALERT] * 10_001}, "10001 alerts in one notification"),
        ("falco", {"rule": 7}, "not what this sender's format wants: "),
        ("falco", {**FALCO, "hostname": "a\nb"}, "`source` holds a control character"),
        ("kubernetes-audit", {"kind": "Event", "items": []}, "`kind` is not `EventList`"),
        ("kubernetes-audit", {"kind": "EventList", "items": [{"stage": "x"}]}, "`items[0]` lacks `auditID`"),
        ("kubernetes-audit", {"kind": "EventList", "items": [7]}, "not what this sender's format wants: "),
    ],
)
def test_a_body_of_another_shape_says_what_is_wrong(name, body, reason):
    """Each mistake is a reason for the sender."""
    answer = call(WEBHOOKS[name], body)
    assert isinstance(answer, Malformed)
    assert answer.reason.startswith(reason)


@pytest.mark.parametrize("name", WEBHOOKS)
@pytest.mark.parametrize("raw", [b"", b"\xff", b'{"rule": "\xff"}', b"[" * 5_000, b"null", b"[]", b"7"])
def test_no_bytes_raise(name, raw):
    """Bytes that are no JSON of that shape are reasons, never exceptions."""
    assert isinstance(WEBHOOKS[name](raw, source="/x", arrived_us=NOW_US), Malformed)

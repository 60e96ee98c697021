"""engine.intake.producers.kubernetes_audit: what operators rely on beyond the samples."""

import json

from tests.support.samples import SAMPLES, converted

ITEM = json.loads(SAMPLES["kubernetes-audit"].body)["items"][1]


def requests(*items):
    body = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": list(items)}
    return converted("kubernetes-audit", body=json.dumps(body).encode())


def test_a_request_is_told_once_whatever_its_stages():
    """`RequestReceived` is passed by; what comes after has one id: the first counts and the rest are duplicates."""
    received = {**ITEM, "stage": "RequestReceived"}
    started = {**ITEM, "stage": "ResponseStarted", "stageTimestamp": "2026-03-02T10:30:00.101Z"}
    events = requests(received, started, ITEM).events
    assert [each.data["stage"] for each in events] == ["ResponseStarted", "ResponseComplete"]
    assert events[0].id == events[1].id


def test_who_repeats_an_audit_id_is_not_taken_for_a_duplicate():
    """The id is chosen by whoever asks (header `Audit-ID`); the time of receipt is the server's own."""
    later = {**ITEM, "requestReceivedTimestamp": "2026-03-02T10:30:00.200000Z"}
    first, second = requests(ITEM, later).events
    assert first.data["audit_id"] == second.data["audit_id"]
    assert first.id != second.id


def test_one_bad_item_does_not_hide_the_others():
    """Whoever makes one odd request must not make the batch go unseen."""
    long = {**ITEM, "objectRef": {"resource": "x" * 5_000, "namespace": "n\x00"}}
    decoded = requests({"stage": "ResponseComplete"}, long, ITEM)
    assert len(decoded.events) == 2
    assert len(decoded.events[0].data["resource"]) == 256
    assert [each.reason for each in decoded.malformed] == ["`items[0]`: `auditID`, `stage` or `verb` is missing"]


def test_the_address_is_the_one_that_the_server_saw():
    """Those before it come from headers (`X-Forwarded-For`), by which a caller could have somebody else shut out."""
    [event] = requests({**ITEM, "sourceIPs": ["198.51.100.4", "10.0.0.1"]}).events
    assert event.data["address"] == "10.0.0.1"

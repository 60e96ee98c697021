"""engine.intake.producers.alertmanager: what operators rely on beyond the samples."""

import json

import pytest

from tests.support.samples import SAMPLES, converted

BODY = json.loads(SAMPLES["alertmanager"].body)
ALERT = BODY["alerts"][0]


def alerts(*given, **other):
    return converted("alertmanager", body=json.dumps({**BODY, **other, "alerts": list(given)}).encode())


def test_a_repeated_notification_is_the_same_event_and_a_new_firing_is_not():
    """Alertmanager says the same again every few hours; a resolution and a new start are something else."""
    [first], [again] = alerts(ALERT).events, alerts(ALERT, groupKey="other").events
    [anew] = alerts({**ALERT, "startsAt": "2026-03-03T00:00:00Z"}).events
    [ended] = alerts({**ALERT, "status": "resolved", "endsAt": "2026-03-02T11:00:00Z"}).events
    assert first.id == again.id
    assert len({first.id, anew.id, ended.id}) == 3
    assert (ended.data["status"], ended.data["ends_at"]) == ("resolved", "2026-03-02T11:00:00Z")


def test_only_what_is_meant_for_halon_becomes_a_target():
    """The author of an alert rule says so in annotations; labels are whatever exports a metric made of them."""
    labels = {**ALERT["labels"], "halon_unit": "sshd.service"}
    annotations = {**ALERT["annotations"], "halon_version": "7"}
    [event] = alerts({**ALERT, "labels": labels, "annotations": annotations}).events
    assert {"instance", "job", "namespace", "unit"}.isdisjoint(event.data)
    assert (event.data["backend"], event.data["server"], event.data["version"]) == ("chat", "gpu-3", 7)


def test_an_alert_can_not_overwrite_what_alertmanager_says():
    """`halon_status` and its kin are no way to pass a resolved alert off as firing."""
    annotations = {"halon_status": "firing", "halon_severity": "critical", "halon_labels": "y", "halon_": "z"}
    [event] = alerts({**ALERT, "status": "resolved", "labels": {"alertname": "x"}, "annotations": annotations}).events
    assert event.data["status"] == "resolved"
    assert {"severity", ""}.isdisjoint(event.data)
    assert event.data["labels"] == {"alertname": "x"}


@pytest.mark.parametrize(
    ("annotations", "labels", "endpoint"),
    [
        ({"halon_endpoint": "a"}, {"service": "b", "endpoint": "c"}, "a"),
        ({}, {"service": "b", "endpoint": "http-metrics"}, "b"),
        ({}, {"endpoint": "c"}, "c"),
        ({}, {}, None),
    ],
)
def test_the_endpoint_is_the_most_exact_of_what_is_said(annotations, labels, endpoint):
    """The operator's word first; `endpoint` last, which the Prometheus operator uses for a port."""
    [event] = alerts({**ALERT, "labels": labels, "annotations": annotations}).events
    assert event.data.get("endpoint") == endpoint


def test_one_bad_alert_does_not_hide_the_others():
    """The good is taken, the bad is named, and what Alertmanager cut off is told."""
    decoded = alerts({**ALERT, "status": "odd"}, ALERT, truncatedAlerts=3)
    assert len(decoded.events) == 1
    assert [each.reason for each in decoded.malformed] == [
        "`alerts[0]`: `status` is neither `firing` nor `resolved`",
        "Alertmanager left out 3 alerts of the group: raise `max_alerts` of its webhook",
    ]


def test_another_version_is_refused_by_its_name():
    """The format is versioned for a reason."""
    assert [each.reason for each in alerts(ALERT, version="3").malformed] == [
        "version '3' of Alertmanager's webhook; only '4' is known"
    ]

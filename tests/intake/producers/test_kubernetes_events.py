"""engine.intake.producers.kubernetes_events: what operators rely on beyond the samples."""

import json

from tests.support.samples import SAMPLES, converted

EVENT = json.loads(SAMPLES["kubernetes-events"].body)


def happened(*objects, lines=False):
    body = "\n".join(map(json.dumps, objects)) if lines else json.dumps(objects[0])
    return converted("kubernetes-events", body=body.encode())


def test_the_same_object_with_a_higher_count_is_a_new_event():
    """Kubernetes counts repetitions on one object; each delivery of one state is one event."""
    [first] = happened(EVENT).events
    [again] = happened(EVENT).events
    [more] = happened({**EVENT, "count": 8, "lastTimestamp": "2026-03-02T10:49:00Z"}).events
    assert first.id == again.id != more.id
    assert (first.data["count"], more.data["count"]) == (7, 8)


def test_the_envelope_of_a_watch_is_opened():
    """`ADDED` and `MODIFIED` tell something; `DELETED` that the object has had its day."""
    [event] = happened({"type": "ADDED", "object": EVENT}).events
    assert event == happened(EVENT).events[0]
    gone = happened({"type": "DELETED", "object": EVENT})
    assert (gone.events, gone.malformed) == ([], [])


def test_lines_are_read_one_by_one():
    """As `kubectl get events -w -o json | jq -c .` gives them."""
    decoded = happened(EVENT, {"reason": "x"}, EVENT, lines=True)
    assert len(decoded.events) == 2
    assert [each.reason[:8] for each in decoded.malformed] == ["`line 2`"]


def test_labels_are_those_of_a_pod_alone():
    """`kubernetes.isolate` selects pods by them; those of a Deployment may select others."""
    about = {**EVENT["involvedObject"], "kind": "Deployment"}
    [event] = happened({**EVENT, "involvedObject": about}).events
    assert "pod_labels" not in event.data
    assert event.data["workload_kind"] == "Deployment"

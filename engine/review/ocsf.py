"""A review to objects of the Open Cybersecurity Schema Framework 1.6, as data lakes and incident desks take them.

One Incident Finding (2005) for the incident, one Detection Finding (2004) for each signal that is evidence of it, one
Remediation Activity (7001) for each step that acted. Only what was read back from its target is a success there; a step
that a guard refused or that waits has not acted, and is no activity. Source: schema.ocsf.io, version 1.6.0.
"""

from datetime import datetime
from importlib.metadata import version

from engine.clock import to_us
from engine.model import IncidentState, IntentState, Json, Severity, format_key, make_key
from engine.operate.reviews import Review
from engine.operate.shown import EvidenceView, StepView
from engine.review.story import beginning

VERSION = "1.6.0"
_SEVERITIES = {Severity.LOW: 2, Severity.MEDIUM: 3, Severity.HIGH: 4, Severity.CRITICAL: 5}
_INCIDENT_STATES = {
    IncidentState.OPEN: (1, "New"),
    IncidentState.CONTAINED: (2, "In Progress"),
    IncidentState.INVESTIGATING: (2, "In Progress"),
    IncidentState.RECOVERING: (2, "In Progress"),
    IncidentState.CLOSED: (5, "Closed"),
}
_VERDICTS = {"resolved": 2, "false": 1, "duplicate": 10}
_ISOLATE, _EVICT, _RESTORE, _HARDEN, _DETECT, _OTHER = 1, 2, 3, 4, 5, 99
_ACTIVITIES = (
    (("model.restore", "mlflow.repoint-alias"), _RESTORE),
    (("evidence.", "forensics.", "model.validate"), _DETECT),
    (("ratelimit.",), _HARDEN),
    (("exec.run", "http.request", "mqtt.publish", "notify"), _OTHER),
    (("process.kill", "slurm.cancel", "ray.stop-job", "aws.stop-training-job", "systemd.stop-unit"), _EVICT),
    (("file.rotate", "postgres.", "redis.", "mosquitto.", "vault.", "aws.disable", "aws.rotate"), _EVICT),
    (("",), _ISOLATE),
)
"""What a step does, by the beginning of its action's name; the first that fits."""
_STATES = {IntentState.VERIFIED: (1, "Success"), IntentState.FAILED: (2, "Failure"), IntentState.UNDONE: (1, "Success")}


def to_ocsf(review: Review) -> tuple[dict[str, Json], ...]:
    """All objects, the incident first."""
    detections = [_detection(review, place, each) for place, each in enumerate(review.detail.evidence)]
    activities = [_remediation(review, each) for each in review.detail.steps if _acted(each)]
    return (_incident(review), *detections, *activities)


def _incident(review: Review) -> dict[str, Json]:
    row = review.detail.incident
    status_id, status = _INCIDENT_STATES[row.state]
    found: dict[str, Json] = {
        **_base(review, 2005, "Incident Finding", 3 if row.closed else 2, row.updated),
        "status_id": status_id,
        "status": status,
        "status_detail": row.resolution or row.state.value,
        "verdict_id": next((code for word, code in _VERDICTS.items() if row.resolution.startswith(word)), 0),
        "desc": f"{row.incident}, found by rule {row.rule}",
        "start_time": _ms(beginning(review)),
        "finding_info_list": [_finding(review, place, each) for place, each in enumerate(review.detail.evidence)]
        or [{"uid": row.id, "title": row.incident}],
        **_assigned(review),
    }
    if row.closed:
        found["end_time"] = _ms(row.closed)
    return found


def _assigned(review: Review) -> dict[str, Json]:
    who = review.detail.incident.acked_by
    return {"assignee": {"name": who}} if who else {"assignee_group": {"name": "unassigned"}}


def _detection(review: Review, place: int, each: EvidenceView) -> dict[str, Json]:
    data: dict[str, Json] = {"detail": each.detail, "value": each.value, "threshold": each.threshold}
    data["events"] = list(each.event_ids or ((each.event.id,) if each.event else ()))
    if each.event is not None:
        data["source"] = each.event.source
    return {
        **_base(review, 2004, "Detection Finding", 1, each.at),
        "status_id": 1,
        "finding_info": _finding(review, place, each),
        "evidences": [{"data": data}],
    }


def _finding(review: Review, place: int, each: EvidenceView) -> dict[str, Json]:
    row = review.detail.incident
    found: dict[str, Json] = {
        "uid": f"{row.id}.{place}",
        "title": f"{each.signal}: {each.detail}",
        "created_time": _ms(each.at),
        "analytic": {"type_id": 1, "type": "Rule", "name": row.rule, "uid": each.signal},
    }
    attacks = [tag.removeprefix("atlas:") for tag in review.detail.tags if tag.startswith("atlas:")]
    if attacks:
        found["attacks"] = [{"technique": {"uid": each}} for each in attacks]
    return found


def _remediation(review: Review, step: StepView) -> dict[str, Json]:
    activity = next(code for names, code in _ACTIVITIES if step.action.startswith(names))
    status_id, status = _STATES.get(step.state, (0, "Unknown"))
    at = step.transitions[-1].at if step.transitions else step.decided
    return {
        **_base(review, 7001, "Remediation Activity", activity, at),
        "command_uid": step.intent,
        "status_id": status_id,
        "status": status,
        "status_detail": f"{step.state.value}: {step.reason}" if step.reason else step.state.value,
        "remediation": {"desc": f"{step.action} {step.would}".strip()},
    }


def _acted(step: StepView) -> bool:
    return any(each.name == "applying" for each in step.stations)


def _base(review: Review, class_uid: int, name: str, activity: int, at: datetime) -> dict[str, Json]:
    row = review.detail.incident
    return {
        "class_uid": class_uid,
        "class_name": name,
        "category_uid": class_uid // 1_000,
        "activity_id": activity,
        "type_uid": class_uid * 100 + activity,
        "time": _ms(at),
        "severity_id": _SEVERITIES[row.severity],
        "message": f"{row.incident} for {format_key(make_key(row.key))}",
        "metadata": {
            "version": VERSION,
            "product": {"name": "Halon", "version": version("halon")},
            "correlation_uid": row.id,
        },
        "unmapped": {"key": dict(row.key), "mode": row.mode.value, "tags": list(review.detail.tags)},
    }


def _ms(at: datetime) -> int:
    return to_us(at) // 1_000

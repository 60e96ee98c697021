"""engine.intake.producers.cloudtrail: what operators rely on beyond the samples."""

import json

import pytest

from tests.support.samples import SAMPLES, converted

ENVELOPE = json.loads(SAMPLES["cloudtrail"].body)
RECORD = ENVELOPE["detail"]


def one(**other):
    [event] = converted("cloudtrail", body=json.dumps({**RECORD, **other}).encode()).events
    return event


def test_an_event_is_the_same_however_it_comes():
    """By EventBridge, in a file of the trail, alone or on a line: AWS' own id is its id."""
    alone = one()
    for body in (ENVELOPE, {"Records": [RECORD]}, [RECORD]):
        assert converted("cloudtrail", body=json.dumps(body).encode()).events == [alone]
    lines = f"{json.dumps(RECORD)}\n{json.dumps({**RECORD, 'eventID': 'e-2'})}\n".encode()
    assert [each.id for each in converted("cloudtrail", body=lines).events] == [alone.id, "e-2"]


def test_only_keys_of_users_can_be_disabled():
    """The key of a role's session is not one that `aws.disable-access-key` knows."""
    assert one().data["access_key_id"] == "AKIAIOSFODNN7EXAMPLE"
    role = {"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/r/s", "accessKeyId": "ASIA"}
    assert {"iam_user", "access_key_id"}.isdisjoint(one(userIdentity=role).data)


@pytest.mark.parametrize(
    ("identity", "principal"),
    [
        ({"type": "Root", "accountId": "1"}, "root"),
        ({"type": "AWSService", "invokedBy": "sagemaker.amazonaws.com"}, "sagemaker.amazonaws.com"),
        ({"type": "AWSAccount", "principalId": "AIDA", "accountId": "2"}, "AIDA"),
        ({"type": "IdentityCenterUser", "arn": "arn:x"}, "arn:x"),
        ({"type": "AssumedRole", "arn": "arn:y"}, "arn:y"),
        ({}, None),
    ],
)
def test_a_principal_is_named_as_people_name_it(identity, principal):
    """Whatever kind of identity it is."""
    event = one(userIdentity=identity)
    assert event.subject == event.data.get("principal") == principal


def test_a_service_of_the_cloud_is_no_address():
    """What can't be isolated is not offered to be."""
    assert "address" not in one(sourceIPAddress="sagemaker.amazonaws.com").data


def test_other_events_of_eventbridge_are_refused_by_name():
    """A rule of EventBridge that lets too much through is seen."""
    decoded = converted("cloudtrail", body=json.dumps({**ENVELOPE, "detail-type": "EC2 State Change"}).encode())
    assert [each.reason for each in decoded.malformed] == [
        "`detail-type` 'EC2 State Change' is not one of CloudTrail's"
    ]

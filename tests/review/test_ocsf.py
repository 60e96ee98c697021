"""Exports against the schema of OCSF itself, as its compiled releases stand in the package ocsf-json-schema."""

import jsonschema
import msgspec
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from engine.model import IntentState
from engine.operate.reviews import Review, review
from engine.review.ocsf import VERSION, to_ocsf
from engine.store.connection import open_readonly
from tests.support.reviewed import close, reviewed
from tests.support.stored import INCIDENT, make_database

NAMES = {2004: "detection_finding", 2005: "incident_finding", 7001: "remediation_activity"}


@pytest.fixture(scope="module")
def schemas():
    """JSON Schemas of the three classes, without optional profiles, closed to attributes that OCSF does not know."""
    made = OcsfJsonSchemaEmbedded(get_ocsf_schema(VERSION))
    return {uid: made.get_class_schema(name, profiles=[]) for uid, name in NAMES.items()}


def acted(tmp_path) -> Review:
    """The incident of a frozen run: one step verified, one refused, one that waits for a person."""
    connection = open_readonly(make_database(tmp_path / "halon.db"))
    try:
        return review(connection, INCIDENT.id)
    finally:
        connection.close()


@pytest.mark.parametrize("how", ["contained", "closed", "false-positive"])
def test_every_object_is_valid_by_the_schema(tmp_path, schemas, how):
    """Open, closed and wrong; a made-up attribute would be refused."""
    found = acted(tmp_path) if how == "contained" else reviewed(tmp_path, move=close(how))[0]
    objects = to_ocsf(found)
    assert {each["class_uid"] for each in objects} == ({2004, 2005, 7001} if how == "contained" else {2004, 2005})
    for each in objects:
        plain = msgspec.json.decode(msgspec.json.encode(each))
        jsonschema.validate(plain, schemas[each["class_uid"]])
        assert each["type_uid"] == each["class_uid"] * 100 + each["activity_id"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**objects[0], "severity_id": "high"}, schemas[2005])


def test_only_what_was_read_back_is_a_success_and_what_did_not_act_is_no_activity(tmp_path):
    """Verified: success. Refused and held: not there. In doubt: unknown, never success."""
    found = acted(tmp_path)
    (freeze,) = [each for each in to_ocsf(found) if each["class_uid"] == 7001]
    assert (freeze["status_id"], freeze["activity_id"], freeze["command_uid"]) == (1, 1, found.detail.steps[0].intent)
    doubtful = msgspec.structs.replace(found.detail.steps[0], state=IntentState.UNVERIFIED)
    detail = msgspec.structs.replace(found.detail, steps=(doubtful,))
    (unsure,) = [each for each in to_ocsf(msgspec.structs.replace(found, detail=detail)) if each["class_uid"] == 7001]
    assert unsure["status_id"] == 0


def test_a_false_positive_is_exported_as_one(tmp_path):
    """Verdict 1, closed."""
    incident = to_ocsf(reviewed(tmp_path, move=close("false-positive"))[0])[0]
    assert (incident["verdict_id"], incident["status_id"], incident["activity_id"]) == (1, 5, 3)


def test_techniques_are_named(tmp_path):
    """ATLAS ids of the rule's tags."""
    detection = next(each for each in to_ocsf(acted(tmp_path)) if each["class_uid"] == 2004)
    assert detection["finding_info"]["attacks"] == [{"technique": {"uid": "AML.T0020"}}]

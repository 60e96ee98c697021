"""STIX bundles, read back by the library that validates them."""

import stix2

from engine.operate.reviews import review
from engine.review.stix import to_stix
from engine.store.connection import open_readonly
from tests.support.stored import INCIDENT, make_database


def bundle(tmp_path, name):
    connection = open_readonly(make_database(tmp_path / name))
    try:
        return stix2.parse(to_stix(review(connection, INCIDENT.id), stix2))
    finally:
        connection.close()


def test_a_bundle_holds_the_incident_its_technique_and_what_was_done(tmp_path):
    """The refused and the waiting step are not among what was done; relations join the rest."""
    found = bundle(tmp_path, "a.db")
    by_type = {}
    for each in found.objects:
        by_type.setdefault(each.type, []).append(each)
    assert [each.name for each in by_type["course-of-action"]] == ["process.freeze"]
    assert [each.external_references[0].external_id for each in by_type["attack-pattern"]] == ["AML.T0020"]
    assert INCIDENT.id in by_type["incident"][0].name
    assert {each.relationship_type for each in by_type["relationship"]} == {"uses", "mitigates"}
    assert "verified: contain.0 process.freeze" in by_type["note"][0].content


def test_a_second_export_has_the_same_ids(tmp_path):
    """It updates the first where it is imported."""
    ids = [sorted(each.id for each in bundle(tmp_path, name).objects) for name in ("a.db", "b.db")]
    assert ids[0] == ids[1]

"""engine.intake.producers.falco: what operators rely on beyond the samples."""

import json

from tests.support.samples import SAMPLES, converted

ALERT = json.loads(SAMPLES["falco"].body)


def one(**other):
    [event] = converted("falco", body=json.dumps({**ALERT, **other}).encode()).events
    return event


def test_the_number_of_a_process_on_another_host_is_no_target():
    """`pid` would be frozen on this machine; it stands among Falco's own fields."""
    event = one()
    assert "pid" not in event.data
    assert event.data["output_fields"]["proc.pid"] == 41217


def test_two_alerts_without_an_id_of_their_own_are_told_apart():
    """Older versions send no `uuid`: the id is made from what is said."""
    first, again = one(uuid=None), one(uuid=None)
    other = one(uuid=None, output_fields={**ALERT["output_fields"], "proc.pid": 1})
    assert first.id == again.id != other.id


def test_the_other_end_of_a_connection_is_an_address_or_nothing():
    """The remote end first, then the server's; a file is no address."""
    fields = {"fd.rip": "203.0.113.9", "fd.sip": "198.51.100.1"}
    assert one(output_fields=fields).data["address"] == "203.0.113.9"
    assert one(output_fields={"fd.sip": "198.51.100.1"}).data["address"] == "198.51.100.1"
    assert "address" not in one(output_fields={"fd.name": "/etc/shadow"}).data

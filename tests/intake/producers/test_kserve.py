"""engine.intake.producers.kserve: what operators rely on beyond the samples."""

import json

from engine.cloudevents import STRUCTURED
from tests.support.samples import SAMPLES, converted

HEADERS = SAMPLES["kserve"].headers


def test_request_and_response_of_one_call_are_two_events_with_one_call_id():
    """KServe gives both the same CloudEvents id and source, which alone would make one a duplicate of the other."""
    asked, answered = converted("kserve").events, converted("kserve-response").events
    assert [each.data["id"] for each in asked] == [each.data["id"] for each in answered]
    assert {each.id for each in asked}.isdisjoint(each.id for each in answered)


def test_who_repeats_the_id_of_a_call_is_not_taken_for_a_duplicate():
    """A caller chooses it (header `Ce-Id`); time and content are not the caller's."""
    first = converted("kserve").events
    later = converted("kserve", headers={**HEADERS, "ce-time": "2026-03-02T11:00:01Z"}).events
    other = converted("kserve", body=b'{"instances": [[1.0], [2.0]]}').events
    assert len({each.id for each in (*first, *later, *other)}) == 6


def test_a_payload_that_is_no_json_is_a_call_all_the_same():
    """Tensors may be bytes."""
    [event] = converted("kserve", body=b"\x00\x01\xff", content_type="application/octet-stream").events
    assert (event.type, event.subject, event.data["client"]) == ("inference.request", "fraud", "shop")


def test_the_same_comes_by_a_broker_in_structured_mode_and_by_mqtt():
    """Attributes may stand in the body, or be user properties without a prefix."""
    attributes = {name.removeprefix("ce-"): value for name, value in HEADERS.items()}
    body = json.dumps({**attributes, "data": json.loads(SAMPLES["kserve"].body)}).encode()
    wanted = [(each.data, each.time_us) for each in converted("kserve").events]
    structured = converted("kserve", body=body, content_type=STRUCTURED, headers={})
    assert [(each.data, each.time_us) for each in structured.events] == wanted
    by_mqtt = converted("kserve", headers=attributes)
    assert [(each.data, each.time_us) for each in by_mqtt.events] == wanted


def test_other_events_are_refused_by_their_type():
    """A logger of something else is seen."""
    decoded = converted("kserve", headers={**HEADERS, "ce-type": "dev.knative.x"})
    assert [each.reason for each in decoded.malformed] == ["`ce-type` 'dev.knative.x' is not one of KServe's logger"]


def test_a_conversation_is_one_row():
    """The prompt of a chat, without what was said before."""
    body = {"model": "llm-a", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}
    [event] = converted("kserve", body=json.dumps(body).encode()).events
    assert (event.data["prompt"], event.data["system_prompt"]) == ("u", "s")

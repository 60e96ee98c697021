"""engine.intake.producers.litellm: what operators rely on beyond the samples."""

import json

from tests.support.samples import SAMPLES, converted

GOOD, FAILED = json.loads(SAMPLES["litellm"].body)


def calls(*records):
    return converted("litellm", body=json.dumps(list(records)).encode())


def test_a_call_that_failed_has_the_code_of_its_failure():
    """The provider's status where there is one, else 500."""
    [limited] = calls(FAILED).events
    [other] = calls({**FAILED, "error_information": {"error_code": "", "error_class": "Timeout"}}).events
    assert (limited.data["status"], other.data["status"]) == (429, 500)


def test_who_repeats_the_id_of_a_call_is_not_taken_for_a_duplicate():
    """The id is the provider's or the caller's; the times are the proxy's own."""
    first, second = (
        each for each in calls(GOOD, {**GOOD, "endTime": GOOD["endTime"] + 0.1}).events if each.type != "tool.call"
    )
    assert first.data["id"] == second.data["id"]
    assert first.id != second.id


def test_the_client_is_the_end_user_or_else_the_key():
    """The key's hash is there beside it, which the caller can't choose."""
    meta = {**GOOD["metadata"], "user_api_key_end_user_id": None}
    assert calls(GOOD).events[0].data["client"] == "client-7"
    by_key = calls({**GOOD, "end_user": None, "metadata": meta}).events[0].data
    assert (by_key["client"], by_key["key_id"]) == ("shop-backend", GOOD["metadata"]["user_api_key_hash"])
    meta = {"user_api_key_hash": "h"}
    assert calls({**GOOD, "end_user": None, "metadata": meta}).events[0].data["client"] == "h"


def test_texts_that_litellm_hides_are_not_known():
    """`turn_off_message_logging` writes a mark in their place, which is no prompt."""
    hidden = {
        "choices": [{"message": {"role": "assistant", "content": "redacted-by-litellm"}, "finish_reason": "stop"}]
    }
    record = {**GOOD, "messages": [{"role": "user", "content": "redacted-by-litellm"}], "response": hidden}
    data = calls(record).events[0].data
    assert {"prompt", "output"}.isdisjoint(data)


def test_one_bad_record_does_not_hide_the_others():
    """LiteLLM does not send a batch again."""
    decoded = calls({"id": "x"}, GOOD)
    assert [each.type for each in decoded.events] == ["inference.response", "tool.call"]
    assert [each.reason for each in decoded.malformed] == [
        "`[0]`: not a logging payload of LiteLLM: `id`, `status` or `endTime` is missing"
    ]

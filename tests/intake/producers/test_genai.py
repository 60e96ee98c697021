"""engine.intake.producers.genai: spans to events."""

import pytest

from engine.intake.producers.contract import Message
from engine.intake.producers.genai import Span, from_span

MESSAGE = Message(body=b"", source="/http/otel", arrived_us=5)


def events(kind="client", failed=False, resource=None, **attributes):
    given = {name.replace("__", "."): value for name, value in attributes.items()}
    span = Span(
        place="spans[0]",
        trace="t",
        span="s",
        parent=None,
        kind=kind,
        start_ns=1_000_000_000_000_000_000,
        end_ns=1_000_000_000_500_000_000,
        failed=failed,
        error="it broke" if failed else None,
        attributes=given,
        resource={"service.name": "shop", **(resource or {})},
    )
    return list(from_span(MESSAGE, span))


CALL = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "m"}


@pytest.mark.parametrize("operation", ["invoke_agent", "create_agent", "invoke_workflow", "plan"])
def test_a_span_around_calls_is_no_call(operation):
    """The calls in it have spans of their own and would be counted twice."""
    assert events(gen_ai__operation__name=operation, gen_ai__request__model="m") == []


def test_a_span_without_a_model_is_passed_by():
    """Most spans of a program are about something else."""
    assert events(http__method="GET") == []


def test_a_client_knows_who_and_a_server_knows_where():
    """The resource of a client's span is the program that asked, which is not the one to isolate."""
    resource = {"k8s.namespace.name": "n", "k8s.deployment.name": "d"}
    [client] = events(resource=resource, **CALL)
    [server] = events("server", resource=resource, network__peer__address="192.0.2.1", **CALL)
    assert client.data["client"] == "shop"
    assert {"endpoint", "workload", "namespace"}.isdisjoint(client.data)
    assert (server.data["endpoint"], server.data["workload"], server.data["address"]) == ("shop", "d", "192.0.2.1")
    assert "client" not in server.data


def test_a_named_user_is_the_client():
    """The program says for whom it asked."""
    [event] = events(user__id="u-1", **CALL)
    assert event.data["client"] == "u-1"


def test_a_call_that_failed_has_a_status_and_a_word():
    """The provider's number where there is one, else 500."""
    assert events(**CALL)[0].data["status"] == 200
    assert events(failed=True, error__type="429", **CALL)[0].data["status"] == 429
    failed = events(failed=True, error__type="timeout", **CALL)[0].data
    assert (failed["status"], failed["error"]) == (500, "timeout")


def test_the_call_a_model_asked_for_and_the_tool_that_ran_are_one_event():
    """Both name the id of the call; the second is a duplicate of the first, unless it tells what came of it."""
    output = '[{"role": "assistant", "parts": [{"type": "tool_call", "name": "f", "id": "c-1"}]}]'
    _, asked = events(gen_ai__output__messages=output, **CALL)
    [ran] = events(gen_ai__operation__name="execute_tool", gen_ai__tool__name="f", gen_ai__tool__call__id="c-1")
    assert (asked.id, asked.source) == (ran.id, ran.source)
    result = {"gen_ai__tool__call__id": "c-1", "gen_ai__tool__call__result": "r"}
    [told] = events(gen_ai__operation__name="execute_tool", gen_ai__tool__name="f", **result)
    assert (told.data["result"], told.id == ran.id) == ("r", False)
    [other] = events(gen_ai__operation__name="execute_tool", gen_ai__tool__name="f")
    assert other.id != ran.id


def test_messages_may_be_json_in_a_text_or_values():
    """Libraries differ; a text that only looks like JSON is a text."""
    turns = [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]
    assert events(gen_ai__input__messages=turns, **CALL)[0].data["prompt"] == "hi"
    assert events(gen_ai__input__messages="[not json", **CALL)[0].data["prompt"] == "[not json"
    assert events(gen_ai__prompt="once", **CALL)[0].data["prompt"] == "once"

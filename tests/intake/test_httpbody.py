"""engine.intake.httpbody: a proved request to events. What the door makes of it is in test_http."""

import pytest

from engine.cel.environment import CelEnvironment
from engine.clock import VirtualClock
from engine.cloudevents import Malformed
from engine.config import EventMap, SenderConfig
from engine.intake.contract import Received
from engine.intake.httpbody import HEADERS_MAX, NotDecoded, decode_body, kept_headers
from engine.intake.mapping import compile_map
from engine.intake.senders import Sender

CE = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "a.b"}


@pytest.fixture
def sender(tmp_path):
    (tmp_path / "secret").write_text("s3cret")

    def make(**settings):
        return Sender(SenderConfig(name="a", token_file=str(tmp_path / "secret"), **settings), VirtualClock())

    return make


def received(body=b"{}", *, headers=None, content_type="application/json"):
    kept = kept_headers(headers or {})
    return Received("http", 0, "http/a", body, 7, len(body), content_type=content_type, properties=kept)


def test_only_headers_that_are_part_of_a_message_are_kept():
    """A dead letter is shown to operators and stored: no secret may stand in it."""
    headers = {"Authorization": "Bearer x", "Cookie": "c", "X-Api-Key": "k", "Ce-Id": "1", "X-MLflow-Timestamp": "2"}
    assert kept_headers(headers) == (("ce-id", "1"), ("x-mlflow-timestamp", "2"))


def test_binary_mode_is_read_from_headers(sender):
    """Percent-encoding is undone, the data is the body."""
    decoded = decode_body(sender(), received(b'{"a": 1}', headers=CE | {"ce-subject": "r%C3%A9"}), events_max=9)
    [event] = decoded.events
    assert (event.subject, event.data, event.time_us) == ("ré", {"a": 1}, 7)


def test_headers_without_end_are_refused(sender):
    """And one that is given twice."""
    many = CE | {f"ce-x{n}": "1" for n in range(HEADERS_MAX)}
    answer = decode_body(sender(), received(headers=many), events_max=9)
    assert answer == NotDecoded(400, "more than 80 `ce-` headers")


def test_what_a_producer_sends_is_taken_in_parts(sender):
    """The good beside what is wrong with the rest; a CloudEvent is taken as a whole or not at all."""
    body = b'{"rule": "r", "priority": "Notice"}\n{"rule": "r"}\n'
    decoded = decode_body(sender(format="falco"), received(body), events_max=9)
    assert [each.type for each in decoded.events] == ["runtime.alert"]
    assert decoded.malformed == [Malformed("`line 2`: not an alert of Falco: `rule` or `priority` is missing")]
    batch = b'[{"specversion": "1.0", "id": "1", "source": "/s", "type": "a"}, {}]'
    answer = decode_body(sender(), received(batch, content_type="application/cloudevents-batch+json"), events_max=9)
    assert isinstance(answer, NotDecoded)
    assert answer.status == 400


def test_a_map_with_each_takes_what_is_good(sender):
    """As of a producer: the sender of such lists is a program that can't be made to send better."""
    mapper = compile_map(EventMap(each="payload", type="payload.type"), CelEnvironment({}))
    made = sender(format="json", map=EventMap(each="payload", type="payload.type"))
    made.mapper = mapper
    decoded = decode_body(made, received(b'[{"type": "a"}, 7]'), events_max=9)
    assert ([each.type for each in decoded.events], len(decoded.malformed)) == (["a"], 1)

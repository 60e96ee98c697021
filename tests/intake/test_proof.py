"""engine.intake.proof: what an entry's `signature` lets through; each message once, over restarts of the daemon too."""

import json

import pytest

from engine.clock import SECOND_US
from engine.config import Config, EventMap, IntakeConfig, MqttConfig, SignatureConfig, TopicConfig
from engine.intake.contract import DeadLetter, Once, Received
from engine.intake.formats import Formats
from engine.intake.permits import VIOLATION
from engine.intake.proof import ProvenFormats
from tests.intake.test_signatures import NOW_S, OTHER, SECRET, signed
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish
from tests.support.wait import until

NOW_US = NOW_S * SECOND_US
HORIZON_S, AHEAD_S = 3_600, 300
EVENT = json.dumps({"specversion": "1.0", "id": "e-1", "source": "/a", "type": "x"}).encode()


@pytest.fixture
def formats(tmp_path):
    """A door with a topic that asks for signatures, one with a map that does, and one that does not."""
    (tmp_path / "key").write_text(SECRET + "\n")
    signature = SignatureConfig(key_files=(str(tmp_path / "key"),))
    mapping = EventMap(type="'x'", subject="payload.run")
    topics = (
        TopicConfig(filter="signed/#", signature=signature),
        TopicConfig(filter="mapped", format="json", map=mapping, signature=signature),
        TopicConfig(filter="#"),
    )
    config = Config(mqtt=(MqttConfig(name="site", topics=topics),), intake=IntakeConfig(payload_bytes_max=5_000))
    return ProvenFormats(Formats(config), config)


def message(payload, beside=(), topic="signed/a", **more):
    properties = tuple(dict(beside).items())
    return Received(
        **{
            "door": "site",
            "token": 1,
            "topic": topic,
            "payload": payload,
            "received_us": NOW_US,
            "size_bytes": len(payload),
            "properties": properties,
            **more,
        }
    )


def envelope(payload, beside):
    return json.dumps({**beside, "payload": payload.decode()}).encode()


def kinds(items):
    return [item.type if hasattr(item, "type") else type(item).__name__ for item in items]


def test_a_signed_message_gives_its_events_after_what_makes_it_count_once(formats):
    """With user properties of MQTT 5 and in an envelope alike; a map sees the payload that was signed."""
    plain = formats.decode(message(EVENT, signed(EVENT)))
    wrapped = formats.decode(message(envelope(EVENT, signed(EVENT))))
    assert kinds(plain) == kinds(wrapped) == ["Once", "x"]
    assert plain[0] == wrapped[0], "the same signing, whichever way it came"
    assert plain[1] == wrapped[1]
    body = b'{"run": "run-7"}'
    once, event = formats.decode(message(envelope(body, signed(body)), topic="mapped"))
    assert (event.subject, event.data) == ("run-7", {"run": "run-7"})
    assert isinstance(once, Once)


def test_what_came_before_is_a_replay_unless_the_broker_brings_it_again(formats):
    """A copy is told to the rules; a second delivery and a retained message are not."""
    copy, again, kept = (
        formats.decode(message(EVENT, signed(EVENT), **more))[0]
        for more in ({}, {"redelivered": True}, {"retained": True})
    )
    assert [each.data["cause"] for each in copy.otherwise] == ["replayed"]
    assert copy.otherwise[0].subject == "site/signed/#"
    assert again.otherwise == kept.otherwise == ()
    assert copy.identity == again.identity


@pytest.mark.parametrize(
    ("payload", "beside", "cause"),
    [
        (EVENT, {}, "unsigned"),
        (EVENT, signed(EVENT, OTHER), "wrong-signature"),
        (EVENT + b" ", signed(EVENT), "wrong-signature"),
        (EVENT, signed(EVENT, now_s=NOW_S - HORIZON_S + AHEAD_S - 1), "stale"),
        (EVENT, signed(EVENT, now_s=NOW_S + AHEAD_S + 1), "stale"),
        (b"", {}, "unsigned"),
        (b"\xff", {}, "unsigned"),
    ],
)
def test_what_is_not_proved_is_kept_and_told_and_nothing_of_it_is_believed(formats, payload, beside, cause):
    """A dead letter with all that came, and a violation that holds nothing of what it says."""
    letter, violation = formats.decode(message(payload, beside))
    assert isinstance(letter, DeadLetter)
    assert (letter.payload, letter.properties) == (payload, tuple(beside.items()))
    assert (violation.type, violation.data["cause"], violation.data["source"]) == (VIOLATION, cause, "")
    assert (violation.subject, violation.data["topic"]) == ("site/signed/#", "signed/a")
    same = formats.decode(message(payload, beside))[1]
    assert same.id == violation.id, "a second delivery is a duplicate"


def test_time_is_judged_up_to_the_age_at_which_ids_are_forgotten(formats):
    """Just fresh enough on either side."""
    for now_s in (NOW_S - HORIZON_S + AHEAD_S, NOW_S + AHEAD_S):
        assert kinds(formats.decode(message(EVENT, signed(EVENT, now_s=now_s)))) == ["Once", "x"]


def test_binary_mode_is_refused_since_its_attributes_are_not_signed(formats):
    """Whoever holds one signed payload could else give it any type."""
    attributes = {"specversion": "1.0", "id": "e-2", "source": "/a", "type": "other"}
    letter, violation = formats.decode(message(EVENT, {**attributes, **signed(EVENT)}))
    assert "binary mode" in letter.reason
    assert violation.data["cause"] == "unsigned"


def test_a_letter_that_is_tried_again_is_judged_by_its_signature_but_not_by_its_age(formats):
    """An operator vouches for the time, and for nothing else; a part of a proved message needs no signature."""
    old = signed(EVENT, now_s=NOW_S - 86_400)
    assert kinds(formats.decode(message(EVENT, old, retried=True))) == ["x"]
    assert kinds(formats.decode(message(EVENT, signed(EVENT, OTHER), retried=True))) == ["DeadLetter"]
    batch = b"[" + EVENT + b",7]"
    once, event, letter = formats.decode(message(batch, signed(batch)))
    assert isinstance(once, Once)
    assert (event.id, letter.proved, letter.payload) == ("e-1", True, b"7")
    assert kinds(formats.decode(message(EVENT, proved=True, retried=True))) == ["x"]


def test_topics_that_ask_for_nothing_are_left_as_they_are(formats):
    """And so is what is too large to be looked at."""
    assert kinds(formats.decode(message(EVENT, topic="open"))) == ["x"]
    (letter,) = formats.decode(message(b"x" * 5_001))
    assert "payload_bytes_max" in letter.reason


@pytest.mark.parametrize(
    ("text", "says"), [("secret", "begins with `whsec_`"), ("whsec_c2hvcnQ=", "at least 24"), ("", "is empty")]
)
def test_a_bad_key_is_named_by_its_file(tmp_path, text, says):
    """The file, what is wrong, and nothing of what it holds."""
    (tmp_path / "key").write_text(text)
    topics = (TopicConfig(filter="a", signature=SignatureConfig(key_files=(str(tmp_path / "key"),))),)
    config = Config(mqtt=(MqttConfig(topics=topics),))
    with pytest.raises(ValueError, match=says) as refused:
        ProvenFormats(Formats(config), config)
    assert str(tmp_path / "key") in str(refused.value)


RULES = """
[signal.seen]
on = "x"
by = { id = "event.id" }

[rule.seen]
incident = "availability"
severity = "low"
by       = ["id"]
when     = { any = ["seen"] }
"""


@pytest.mark.parametrize("client", ["aiomqtt", "mqtt5"])
def test_a_captured_message_counts_once_over_a_restart_too(tmp_path, client):
    """A real daemon on a real broker: signed, copied, copied after kill -9, and forged."""
    (tmp_path / "agents.key").write_text(SECRET)
    mqtt = (
        f'protocol = "5"\nclient = "{client}"\n'
        'topics = [{ filter = "agents/#", signature = { key_files = ["agents.key"] } }]'
    )
    with (
        Mosquitto(tmp_path) as broker,
        Daemon(tmp_path, port=broker.port, rules=RULES, mqtt=mqtt) as halon,
    ):

        def say(payload, beside):
            publish(broker.port, [("agents/1", payload)], version5=True, properties=beside.items())

        now_s = int(halon.status().live.started.timestamp())
        beside = signed(EVENT, now_s=now_s)
        say(EVENT, beside)
        until(lambda: halon.one("SELECT count(*) FROM incidents") == 1, what="the signed event is judged")
        say(EVENT, beside)
        until(lambda: violations(halon) == 1, what="the copy is told to the rules")
        halon.restart()
        say(EVENT, beside)
        until(lambda: halon.events_committed() == 3, what="that restart remembers")
        other = EVENT.replace(b"e-1", b"e-2")
        say(other, signed(other, OTHER, now_s=now_s))
        until(lambda: violations(halon) == 1, what="the forged one is told to the rules")
        [letter] = halon.ask("deadletters", "list")
        assert "no signature" in letter["reason"]
        refused = halon.run_command("deadletters", "retry", str(letter["number"]))
        assert (refused.returncode, "no signature" in refused.stderr) == (1, True)
        (tmp_path / "agents.next").write_text(OTHER)
        halon.config.write_text(halon.config.read_text().replace('["agents.key"]', '["agents.key", "agents.next"]'))
        halon.halon("reload")
        halon.halon("deadletters", "retry", str(letter["number"]))
        until(lambda: halon.one("SELECT count(*) FROM incidents") == 2, what="under the new key it is believed")


def violations(halon):
    """How many `halon.source.violation`s this run of the daemon has counted."""
    text = halon.client._request("GET", "/metrics")[1].decode()
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("halon_events_total") and f'type="{VIOLATION}"' in line and 'verdict="new"' in line
    )

"""The daemon between several real brokers, by both clients: one that is down, and sources that die."""

import json
import socket

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.daemon import Daemon
from tests.support.doors import CLIENTS
from tests.support.mosquitto import Mosquitto, publish
from tests.support.wait import until

RULES = """
[signal.bad]
on = "source.bad"
by = { who = "event.subject" }

[signal.died]
on = ["source.died", "source.gone"]
by = { who = "event.subject" }

[rule.bad]
incident = "data-poisoning"
severity = "low"
by       = ["who"]
when     = { any = ["bad"] }

[rule.died]
incident = "availability"
severity = "low"
by       = ["who"]
when     = { any = ["died"] }
"""


def event(kind, subject):
    return json.dumps(
        {"specversion": "1.0", "id": f"{kind}-{subject}", "source": "/s", "type": f"source.{kind}", "subject": subject}
    ).encode()


def keys(speaks):
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in speaks.items())


def incidents(halon):
    return {(kind, json.loads(key)[0][1]) for kind, key in halon.rows("SELECT incident, key FROM incidents")}


def test_one_broker_down_stops_no_other_and_is_found_again(tmp_path):
    """Two brokers, one client each: what one loses the other goes on with, and the lost one's session resumes."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for each in folders:
        each.mkdir()
    with Mosquitto(folders[0]) as steady, Mosquitto(folders[1]) as shaky:
        doors = f'[[mqtt]]\nname = "steady"\nport = {steady.port}\n{keys(CLIENTS["mqtt5"])}'
        doors += f'[[mqtt]]\nname = "shaky"\nport = {shaky.port}\nreconnect_max = "1s"\n{keys(CLIENTS["aiomqtt-3"])}'
        with Daemon(tmp_path, port=None, rules=RULES, config=doors) as halon:
            shaky.stop()
            until(lambda: not halon.connected(), what="the loss shows")
            publish(steady.port, [("halon/events/x", event("bad", "over steady"))])
            until(lambda: ("data-poisoning", "over steady") in incidents(halon), what="the other door flows")
            status = {door.name: door for door in halon.status().live.doors}
            assert status["steady"].connected
            assert not status["shaky"].connected
            assert status["shaky"].detail
            shaky.start()
            publish(shaky.port, [("halon/events/x", event("bad", "over shaky"))])
            until(lambda: ("data-poisoning", "over shaky") in incidents(halon), what="it came back", within_s=30)
            until(halon.connected, what="both are up")


@pytest.mark.parametrize("name", CLIENTS)
def test_the_last_will_of_a_source_is_an_event_that_a_rule_uses(name, tmp_path):
    """A source that dies: its will, a CloudEvent or any text by a `map`, opens an incident."""
    topics = (
        'topics = [{ filter = "halon/events/#" }, { filter = "status/+", format = "json", map = { '
        "type = \"payload == 'gone' ? 'source.gone' : 'source.here'\", subject = \"topic[1]\" } }]\n"
    )
    with (
        Mosquitto(tmp_path) as broker,
        Daemon(tmp_path, port=broker.port, rules=RULES, mqtt=keys(CLIENTS[name]) + topics) as halon,
    ):
        for who, topic, will in (("one", "halon/events/one", event("died", "one")), ("two", "status/two", b'"gone"')):
            source = paho.Client(CallbackAPIVersion.VERSION2, client_id=who)
            source.will_set(topic, will, qos=1, retain=topic.startswith("status"))
            source.connect("127.0.0.1", broker.port)
            source.loop_start()
            until(source.is_connected, what="the source is there")
            source.socket().shutdown(socket.SHUT_RDWR)
            source.loop_stop()
        until(lambda: incidents(halon) == {("availability", "one"), ("availability", "two")}, what="both were seen")

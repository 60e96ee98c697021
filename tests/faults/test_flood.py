"""Ten times more than the daemon can take, for as long as it lasts: bounded memory, quick answers, and nothing lost."""

import json
import threading
import time
from collections import deque

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.faults.test_httpflood import asking
from tests.support.daemon import Daemon
from tests.support.doors import CLIENTS
from tests.support.mosquitto import Mosquitto
from tests.support.slowdisk import slow_sync
from tests.support.wait import until

BATCH_EVENTS = 40
SYNC_S = 0.1
SUSTAINED = BATCH_EVENTS / SYNC_S
"""Events a second: with one sync for so many events, and a sync that takes so long, no more can become durable."""
FLOOD = 10 * SUSTAINED
SHORT_S = 5
UNDER_WAY_MAX = 10_000
"""What the sender has handed to its client and the broker has not acknowledged."""
RSS_MIB_MAX = 250.0
ANSWER_S_MAX = 1.0
"""For nineteen of twenty answers, and by `make soak` for all: a machine that tests share stalls now and then."""
RULES = """
[signal.bad]
on = "load.bad"

[rule.bad]
incident = "data-poisoning"
severity = "low"
when     = { any = ["bad"] }
"""


class Sender(threading.Thread):
    """Publishes at a rate for some seconds with QoS 1; `sent` are all acknowledged by the broker at the end."""

    def __init__(self, port, rate, seconds):
        super().__init__(name="flood")
        self.port, self.rate, self.seconds = port, rate, seconds
        self.sent = 0
        self._never = threading.Event()

    def run(self):
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.max_inflight_messages_set(1_000)
        client.max_queued_messages_set(0)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        began, under_way = time.monotonic(), deque()
        while (passed := time.monotonic() - began) < self.seconds:
            while self.sent < passed * self.rate:
                event = {"specversion": "1.0", "id": f"{self.sent}", "source": "s", "type": "load.noise"}
                under_way.append(client.publish("halon/events/x", json.dumps(event), qos=1))
                self.sent += 1
                if len(under_way) > UNDER_WAY_MAX:
                    under_way.popleft().wait_for_publish(60)
            self._never.wait(0.005)  # paces the load
        for each in under_way:
            each.wait_for_publish(60)
            assert each.is_published()
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("seconds", [SHORT_S, pytest.param(60, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", ["aiomqtt-3", "mqtt5"])
def test_ten_times_the_sustained_rate_is_withstood(name, seconds, tmp_path):
    """The broker holds what can't be taken; status answers within a second; a kill in the midst loses nothing."""
    speaks = "".join(f"{key} = {json.dumps(value)}\n" for key, value in CLIENTS[name].items())
    with (
        Mosquitto(tmp_path, settings=["autosave_on_changes false", "autosave_interval 1800"]) as broker,
        Daemon(
            tmp_path,
            port=broker.port,
            rules=RULES,
            mqtt=speaks,
            intake=f"batch_events_max = {BATCH_EVENTS}\nin_flight_max = 400",
        ) as halon,
    ):
        sender = Sender(broker.port, FLOOD, seconds)
        with (
            slow_sync(halon.pid, seconds=SYNC_S, log=tmp_path / "strace.log"),
            asking(halon) as (took_s, rss_mib),
        ):
            sender.start()
            sender.join()
            durable = halon.events_committed()
        assert durable < sender.sent / 5, "it was a flood"
        assert len(took_s) > seconds, "it was asked all the while, and always answered"
        took_s.sort()
        assert took_s[-1 if seconds > SHORT_S else int(len(took_s) * 0.95)] < ANSWER_S_MAX
        assert max(rss_mib) < RSS_MIB_MAX
        halon.restart()
        until(lambda: halon.events_committed() >= sender.sent, within_s=120, what="all that was sent is durable")
        assert halon.events_committed() == sender.sent
        assert halon.rss_mib() < RSS_MIB_MAX

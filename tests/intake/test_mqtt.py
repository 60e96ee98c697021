"""The contract of an MQTT door: every client and protocol, against a real mosquitto and the embedded rumqttd."""

import asyncio
import gc
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from engine.config import BrokerConfig, IntakeConfig, MqttConfig, TlsConfig, TopicConfig
from engine.intake.broker import EmbeddedBroker
from engine.intake.contract import PublishError
from engine.intake.mqtt import tls_context
from tests.support.certificates import make_certificates
from tests.support.doors import CLIENTS, open_door, start_door
from tests.support.mosquitto import Mosquitto, need_library, publish
from tests.support.realparts import free_port, need
from tests.support.wait import until_async


@asynccontextmanager
async def a_broker(kind, tmp_path, speaks) -> AsyncIterator[int]:
    if kind == "mosquitto":
        with Mosquitto(tmp_path) as broker:
            yield broker.port
    else:
        config = BrokerConfig(port=free_port(), mqtt5_port=free_port())
        async with EmbeddedBroker(config, IntakeConfig()):
            yield config.mqtt5_port if speaks["protocol"] == "5" else config.port


@pytest.fixture(params=["mosquitto", "rumqttd"])
def kind(request):
    if request.param == "mosquitto":
        need("mosquitto")
    return request.param


@pytest.fixture(params=CLIENTS)
def speaks(request):
    """One way to speak to a broker, as keys of [[mqtt]]."""
    return CLIENTS[request.param]


@pytest.fixture(params=[each for each in CLIENTS if CLIENTS[each]["protocol"] == "5"])
def speaks5(request):
    return CLIENTS[request.param]


async def send(port, speaks, *payloads, topic="t/a"):
    await asyncio.to_thread(publish, port, [(topic, each) for each in payloads], version5=speaks["protocol"] == "5")


def numbered(first, count):
    return [b"%d" % number for number in range(first, first + count)]


def test_messages_arrive_in_order_and_are_acknowledged(kind, speaks, tmp_path):
    """What is published arrives once, in order, with its topic; acknowledged, it does not come again."""

    async def scenario():
        async with a_broker(kind, tmp_path, speaks) as port:
            async with open_door(port, **speaks) as running:
                await send(port, speaks, *numbered(0, 15))
                messages = await running.take(15)
                assert [each.payload for each in messages] == numbered(0, 15)
                assert {each.topic for each in messages} == {"t/a"}
                await running.door.acknowledge(messages)
                status = running.door.status()
                assert (status.in_flight, status.acknowledged_total, status.problem) == (0, 15, "")
                await running.heard()
            async with open_door(port, **speaks) as running:
                await send(port, speaks, b"end")
                assert [each.payload for each in await running.take(1)] == [b"end"]

    asyncio.run(scenario())


def test_a_session_collects_messages_while_the_door_is_away(kind, speaks, tmp_path):
    """What is published while nobody is connected waits in the broker's session."""

    async def scenario():
        async with a_broker(kind, tmp_path, speaks) as port:
            async with open_door(port, **speaks):
                pass
            await send(port, speaks, *numbered(0, 300))
            # Consuming while connecting: rumqttd answers to the subscription after the messages of the session
            running = start_door(port, **speaks)
            try:
                assert await receive_and_acknowledge(running, 300) == numbered(0, 300)
                await running.connected()
            finally:
                await running.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(("before", "after"), [("aiomqtt-3", "mqtt5"), ("mqtt5", "aiomqtt-3"), ("aiomqtt-5", "mqtt5")])
def test_another_client_takes_the_session_over(before, after, tmp_path):
    """Real mosquitto: what waits or was not acknowledged comes to the client that is configured next."""
    need("mosquitto")

    async def scenario():
        with Mosquitto(tmp_path) as broker:
            async with open_door(broker.port, **CLIENTS[before]) as running:
                await send(broker.port, CLIENTS[before], *numbered(0, 5))
                await running.door.acknowledge((await running.take(5))[:2])
                await running.heard()
            await send(broker.port, CLIENTS[before], *numbered(5, 5))
            async with open_door(broker.port, **CLIENTS[after]) as running:
                assert await receive_and_acknowledge(running, 8) == numbered(2, 8)

    asyncio.run(scenario())


async def receive_and_acknowledge(running, count):
    payloads = []
    while len(payloads) < count:
        messages = await asyncio.wait_for(running.inbox.receive(100), 15)
        await running.door.acknowledge(messages)
        payloads += [each.payload for each in messages]
    return payloads


def test_what_is_not_acknowledged_comes_again_after_a_crash(kind, speaks, tmp_path):
    """After the connection is cut, exactly the messages without an acknowledgement are delivered again."""

    async def scenario():
        async with a_broker(kind, tmp_path, speaks) as port:
            async with open_door(port, **speaks) as running:
                await send(port, speaks, *numbered(0, 15))
                messages = await running.take(15)
                await running.door.acknowledge(messages[:6])
                # A later message settled before an earlier one is not acknowledged yet: MQTT wants their order
                await running.door.acknowledge(messages[10:])
                await running.heard()
                await send(port, speaks, b"sync", topic="t/sync")
                await running.take(1)
                await running.crash()
            async with open_door(port, **speaks) as running:
                again = await running.take(10)
                assert [each.payload for each in again] == [*numbered(6, 9), b"sync"]
                await running.door.acknowledge(again)

    asyncio.run(scenario())


def test_late_acknowledgements_of_an_old_connection_are_not_sent_to_the_new_one(kind, speaks, tmp_path):
    """Packet ids begin anew with a connection: a stale acknowledgement would free a message that nobody committed."""

    async def scenario():
        async with a_broker(kind, tmp_path, speaks) as port:
            async with open_door(port, **speaks) as running:
                await send(port, speaks, *numbered(0, 5))
                old = await running.take(5)
                running.cut()
                again = await running.take(5)
                assert [each.payload for each in again] == numbered(0, 5)
                await running.door.acknowledge(old)
                status = running.door.status()
                assert (status.in_flight, status.stale_total, status.acknowledged_total) == (5, 5, 0)
                await running.crash()
            async with open_door(port, **speaks) as running:
                assert [each.payload for each in await running.take(5)] == numbered(0, 5)

    asyncio.run(scenario())


@pytest.mark.parametrize("limit", ["messages", "bytes"])
def test_reading_stops_at_the_limit_of_what_is_in_flight(kind, speaks, limit, tmp_path):
    """Not one message more than the limit is taken from the broker until some are acknowledged; none is lost."""
    bounds = {"messages": {"in_flight_max": 40}, "bytes": {"in_flight_bytes_max": 39_001}}[limit]

    async def scenario():
        intake = IntakeConfig(**bounds)
        async with (
            a_broker(kind, tmp_path, speaks) as port,
            open_door(port, **speaks, intake=intake) as running,
        ):
            payloads = [b"%04d" % number + b"x" * 996 for number in range(400)]
            await send(port, speaks, *payloads)
            # mosquitto 2.0.11 holds back at 20 messages on 3.1.1; the limit is then reached at the next delivery
            seen, got = [], []
            while len(got) < 400:
                messages = await asyncio.wait_for(running.inbox.receive(15), 15)
                seen.append(running.door.status().in_flight)
                got += [each.payload for each in messages]
                await running.door.acknowledge(messages)
            assert got == payloads
            assert max(seen) <= 40

    asyncio.run(scenario())


def test_a_full_door_leaves_the_socket_unread_and_stays_connected(speaks, tmp_path):
    """Real mosquitto, without a limit of its own: the door holds what it may and the keepalive goes on meanwhile."""
    need("mosquitto")

    async def scenario():
        with Mosquitto(tmp_path, settings=["max_inflight_messages 0", "log_type all"]) as broker:
            intake = IntakeConfig(in_flight_max=10)
            async with open_door(broker.port, **speaks, intake=intake, keepalive=1_000_000) as running:
                await send(broker.port, speaks, *numbered(0, 500))
                await until_async(lambda: running.door.status().paused, what="the door is full")
                # More than two keepalives without a read: PINGREQs go out, and their answers stand behind messages
                pings = (tmp_path / "mosquitto.log").read_text().count("PINGREQ")
                await until_async(
                    lambda: (tmp_path / "mosquitto.log").read_text().count("Received PINGREQ") >= pings + 3,
                    what="three pings have come",
                )
                status = running.door.status()
                assert (status.connected, status.in_flight, len(running.inbox)) == (True, 10, 10)
                assert status.connects_total == 1
                assert await receive_and_acknowledge(running, 500) == numbered(0, 500)

    asyncio.run(scenario())


def test_pause_takes_nothing_more_in_and_resume_goes_on(kind, speaks, tmp_path):
    """While paused nothing is read, even over a new connection; what is in flight can still be acknowledged."""

    async def scenario():
        async with a_broker(kind, tmp_path, speaks) as port, open_door(port, **speaks) as running:
            await send(port, speaks, *numbered(0, 3))
            messages = await running.take(3)
            running.door.pause()
            await send(port, speaks, *numbered(3, 5))
            await running.door.acknowledge(messages)
            assert (len(running.inbox), running.door.status().in_flight) == (0, 0)
            running.door.resume()
            assert [each.payload for each in await running.take(5)] == numbered(3, 5)

    asyncio.run(scenario())


def test_too_large_a_payload_is_cut_and_says_its_true_size(kind, speaks, tmp_path):
    """A payload past the limit is not kept whole: its head goes to the dead letters."""

    async def scenario():
        intake = IntakeConfig(payload_bytes_max=70_000)
        async with (
            a_broker(kind, tmp_path, speaks) as port,
            open_door(port, **speaks, intake=intake) as running,
        ):
            await send(port, speaks, b"a" * 70_000, b"b" * 70_001)
            small, large = await running.take(2)
            assert (len(small.payload), small.size_bytes) == (70_000, 70_000)
            assert (large.payload, large.size_bytes) == (b"b" * 65_536, 70_001)
            assert running.door.status().oversized_total == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restarted_broker_is_found_again_with_its_session(speaks, how, tmp_path):
    """Real mosquitto with persistence: after it came back, unacknowledged and new messages arrive by themselves."""
    need("mosquitto")

    async def scenario():
        broker = Mosquitto(tmp_path)
        broker.start()
        try:
            async with open_door(broker.port, **speaks) as running:
                await send(broker.port, speaks, *numbered(0, 10))
                messages = await running.take(10)
                await running.door.acknowledge(messages[:4])
                await running.heard()
                await send(broker.port, speaks, b"sync")
                await running.take(1)
                # mosquitto saves what changed when its loop comes around: two answers later it has
                await running.heard()
                await running.heard()
                await asyncio.to_thread(broker.stop if how == "stop" else broker.kill)
                await until_async(lambda: not running.door.status().connected, what="the loss is seen")
                await asyncio.to_thread(broker.start)
                await running.connected()
                await send(broker.port, speaks, b"new")
                again = [each.payload for each in await running.take(8)]
                assert again == [*numbered(4, 6), b"sync", b"new"]
                assert running.door.status().connects_total == 2
        finally:
            broker.stop()

    asyncio.run(scenario())


def test_a_broker_that_is_down_stops_no_other(tmp_path):
    """One door waits for its broker and says why; the other one receives (real mosquitto)."""
    need("mosquitto")

    async def scenario():
        with Mosquitto(tmp_path) as broker:
            down = start_door(free_port(), name="down")
            try:
                async with open_door(broker.port) as running:
                    await send(broker.port, CLIENTS["aiomqtt-3"], b"x")
                    await running.take(1)
                    await until_async(lambda: "refused" in down.door.status().problem, what=str(down.door.status()))
                    assert not down.door.status().connected
            finally:
                await down.stop()

    asyncio.run(scenario())


def test_a_refused_topic_is_a_problem_that_shows_and_the_others_flow(speaks, tmp_path):
    """Real mosquitto with access rules: the refusal of the SUBACK is named, the granted topic delivers."""
    need("mosquitto")
    rules = tmp_path / "rules.json"
    allowed = {"acltype": "subscribePattern", "topic": "t/#", "priority": 0, "allow": True}
    access = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    rules.write_text(
        json.dumps(
            {
                "defaultACLAccess": access,
                "roles": [{"rolename": "reader", "acls": [allowed]}],
                "groups": [{"groupname": "all", "roles": [{"rolename": "reader"}], "clients": []}],
                "anonymousGroup": "all",
                "clients": [],
            }
        )
    )

    async def scenario():
        plugin = [f"plugin {need_library('mosquitto_dynamic_security.so')}", f"plugin_opt_config_file {rules}"]
        topics = (TopicConfig(filter="secret/#"), TopicConfig(filter="t/#"))
        with Mosquitto(tmp_path, settings=plugin) as broker:
            async with open_door(broker.port, **speaks, topics=topics) as running:
                assert running.door.status().problem == "the broker refuses the topic `secret/#`"
                await send(broker.port, speaks, b"x")
                await running.take(1)

    asyncio.run(scenario())


def test_a_door_that_is_cancelled_while_connecting_leaves_no_connection(tmp_path):
    """A stop in the middle of connecting leaves no client that would take the session over (real mosquitto)."""
    need("mosquitto")

    async def scenario():
        with Mosquitto(tmp_path) as broker:
            for turns in range(12):
                running = start_door(broker.port)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await running.stop()
            async with open_door(broker.port) as running:
                await send(broker.port, CLIENTS["aiomqtt-3"], b"x")
                await running.take(1)
                assert running.door.status().connects_total == 1

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ({"ca_file": "ca.crt", "certificate_file": "client.crt", "key_file": "client.key"}, ""),
        ({"ca_file": "ca.crt"}, "lost|closed|required|EOF|reset|ALERT"),
        ({"ca_file": "other.crt", "certificate_file": "client.crt", "key_file": "client.key"}, "verify failed"),
    ],
    ids=["client certificate", "no client certificate", "another authority"],
)
# paho leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_tls_wants_both_sides_to_prove_themselves(speaks, tls, problem, certificates, tmp_path):
    """Real mosquitto over TLS: thousands of messages in one burst arrive; without the right papers nothing does."""
    need("mosquitto")
    settings = [
        f"cafile {certificates / 'ca.crt'}",
        f"certfile {certificates / 'server.crt'}",
        f"keyfile {certificates / 'server.key'}",
        "require_certificate true",
        f"listener {(plain := free_port())} 127.0.0.1",
    ]
    files = {name: str(certificates / file) for name, file in tls.items()}

    async def scenario():
        config = MqttConfig(tls=TlsConfig(enabled=True, **files))
        with Mosquitto(tmp_path, settings=settings) as broker:
            running = start_door(broker.port, **speaks, host="localhost", tls=tls_context(config))
            try:
                if problem:
                    matching = re.compile(problem)
                    await until_async(
                        lambda: matching.search(running.door.status().problem), what=str(running.door.status())
                    )
                    assert not running.door.status().connected
                else:
                    await running.connected()
                    await send(plain, speaks, *numbered(0, 2_000))
                    assert await receive_and_acknowledge(running, 2_000) == numbered(0, 2_000)
            finally:
                await running.stop()

    asyncio.run(scenario())
    gc.collect()


@pytest.mark.parametrize(("password", "problem"), [("right", ""), ("wrong", "[Nn]ot authori[sz]ed|Bad user name")])
def test_a_password_opens_the_door_and_a_wrong_one_is_named(speaks, password, problem, tmp_path):
    """Real mosquitto with a password file: the refusal of the CONNACK is the door's problem."""
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run([need("mosquitto_passwd"), "-b", str(passwords), "halon", "right"], check=True, capture_output=True)

    async def scenario():
        settings = [f"password_file {passwords}", "allow_anonymous false"]
        with Mosquitto(tmp_path, settings=settings) as broker:
            running = start_door(broker.port, **speaks, username="halon", password=password)
            try:
                if problem:
                    matching = re.compile(problem)
                    await until_async(
                        lambda: matching.search(running.door.status().problem), what=str(running.door.status())
                    )
                else:
                    await running.connected()
            finally:
                await running.stop()

    asyncio.run(scenario())


def test_user_properties_and_content_type_of_mqtt_5_come_with_the_message(kind, speaks5, tmp_path):
    """Binary mode needs them."""

    async def scenario():
        async with a_broker(kind, tmp_path, speaks5) as port, open_door(port, **speaks5) as running:
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = [("specversion", "1.0"), ("id", "é")]
            properties.ContentType = "application/json"
            async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
                await client.publish("t/a", b"{}", qos=1, properties=properties)
            (message,) = await running.take(1)
            assert message.properties == (("specversion", "1.0"), ("id", "é"))
            assert message.content_type == "application/json"

    asyncio.run(scenario())


def test_the_members_of_a_shared_subscription_divide_the_messages(speaks, tmp_path):
    """`$share/GROUP/FILTER` (real mosquitto): each message goes to one of the two doors, and each has its share."""
    need("mosquitto")

    async def scenario():
        with Mosquitto(tmp_path) as broker:
            async with (
                open_door(broker.port, **speaks, topic="$share/halon/t/#", client_id="one") as one,
                open_door(broker.port, **speaks, topic="$share/halon/t/#", client_id="two") as two,
            ):
                await send(broker.port, speaks, *numbered(0, 40))
                await until_async(lambda: len(one.inbox) + len(two.inbox) == 40, what="all have come")
                taken = [each.payload for running in (one, two) for each in await running.take(len(running.inbox))]
                assert sorted(taken, key=int) == numbered(0, 40)
                assert one.received
                assert two.received

    asyncio.run(scenario())


def test_what_an_older_session_subscribed_with_qos_2_is_taken_and_settled(speaks, tmp_path):
    """Real mosquitto: such messages arrive, are acknowledged and do not come again; the connection holds."""
    need("mosquitto")

    async def scenario():
        version = aiomqtt.ProtocolVersion.V5 if speaks["protocol"] == "5" else aiomqtt.ProtocolVersion.V311
        with Mosquitto(tmp_path) as broker:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 60
            older = aiomqtt.Client(
                "127.0.0.1",
                broker.port,
                identifier="halon-test",
                protocol=version,
                **(
                    {"clean_start": False, "properties": properties}
                    if speaks["protocol"] == "5"
                    else {"clean_session": False}
                ),
            )
            async with older:
                await older.subscribe("old/#", qos=2)
            async with open_door(broker.port, **speaks) as running:
                await asyncio.to_thread(publish, broker.port, [("old/a", each) for each in numbered(0, 10)], qos=2)
                messages = await running.take(10)
                assert [each.payload for each in messages] == numbered(0, 10)
                await running.door.acknowledge(messages)
                await send(broker.port, speaks, b"x")
                await running.door.acknowledge(await running.take(1))
                await running.heard()
                assert running.door.status().connects_total == 1
            async with open_door(broker.port, **speaks) as running:
                await send(broker.port, speaks, b"end")
                assert [each.payload for each in await running.take(1)] == [b"end"]

    asyncio.run(scenario())


def test_a_door_publishes_over_its_connection_and_says_where_it_could_not(kind, speaks, tmp_path):
    """Retained and acknowledged by the broker: who comes later finds it. Without a connection it is an error."""

    async def scenario():
        async with a_broker(kind, tmp_path, speaks) as port:
            async with open_door(port, **speaks) as running:
                await running.door.publish("anchor/a", b"head", retain=True)
                async with open_door(port, **speaks, client_id="later", topic="anchor/#") as later:
                    (message,) = await later.take(1)
                    assert (message.topic, message.payload, message.retained) == ("anchor/a", b"head", True)
                    await later.door.acknowledge([message])
            away = start_door(free_port(), **speaks)
            with pytest.raises(PublishError, match="broker local: "):
                await away.door.publish("anchor/a", b"head")
            await away.stop()

    asyncio.run(scenario())


def test_birth_and_last_will_say_how_halon_stands(speaks, tmp_path):
    """Online after subscribing, offline on a clean stop, lost when the connection is cut; retained (real mosquitto)."""
    need("mosquitto")

    async def scenario():
        with Mosquitto(tmp_path) as broker:
            async with open_door(broker.port, client_id="watcher", topic="halon/status") as watcher:
                async with open_door(broker.port, **speaks, status_topic="halon/status"):
                    assert b"halon.daemon.online" in (await watcher.take(1))[0].payload
                assert b"halon.daemon.offline" in (await watcher.take(1))[0].payload
                async with open_door(broker.port, **speaks, status_topic="halon/status") as running:
                    assert b"halon.daemon.online" in (await watcher.take(1))[0].payload
                    await running.crash()
                    assert b"halon.daemon.lost" in (await watcher.take(1))[0].payload

    asyncio.run(scenario())

"""engine.intake.manualclient: what it needs from the private parts of aiomqtt and paho is still there."""

import asyncio
import inspect

import aiomqtt
import paho.mqtt.client as paho
import pytest

from engine.intake.connection import Terms
from engine.intake.manualclient import ManualClient

REMEDY = "aiomqtt or paho changed below engine/intake/manualclient.py: read both and adapt it, then this list"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (aiomqtt.Client, "_client_connect", ["self"]),
        (aiomqtt.Client, "_misc_loop", ["self"]),
        (aiomqtt.Client, "_wait_for", ["self", "fut", "timeout"]),
        (aiomqtt.Client, "_on_message", ["self", "client", "userdata", "message"]),
        (aiomqtt.Client, "_on_socket_open", ["self", "client", "userdata", "sock"]),
        (aiomqtt.Client, "_on_socket_close", ["self", "client", "userdata", "sock"]),
        (aiomqtt.Client, "_on_socket_register_write", ["self", "client", "userdata", "sock"]),
        (aiomqtt.Client, "_on_disconnect", ["self", "client", "userdata", "flags", "reason_code", "properties"]),
        (paho.Client, "ack", ["self", "mid", "qos"]),
        (paho.Client, "manual_ack_set", ["self", "on"]),
        (paho.Client, "_sock_close", ["self"]),
        (paho.Client, "_handle_publish", ["self"]),
        (paho.Client, "_handle_pubrel", ["self"]),
        (paho.Client, "_send_pubrec", ["self", "mid"]),
        (paho.Client, "_send_pubcomp", ["self", "mid"]),
        (paho.Client, "loop_read", ["self", "max_packets"]),
        (paho.Client, "loop_misc", ["self"]),
    ],
)
def test_the_private_methods_it_stands_on_are_as_they_were(owner, name, parameters):
    """A release that renames one or changes its parameters fails here, not in the field."""
    method = getattr(owner, name, None)
    assert method is not None, REMEDY
    assert list(inspect.signature(method).parameters) == parameters, REMEDY


def test_the_private_attributes_it_stands_on_are_as_they_were():
    """Each attribute that it reads or sets exists, of the expected type; aiomqtt calls its overrides."""

    async def scenario():
        terms = Terms(
            host="127.0.0.1",
            port=1,
            client_id="x",
            version5=False,
            keepalive_s=30,
            session_expiry_s=0,
            receive_max=10,
            payload_bytes_max=1_000,
        )
        client = ManualClient(terms, lambda _: None)
        inner = client._client
        kinds = {
            "_connected": asyncio.Future,
            "_disconnected": asyncio.Future,
            "_pending_subscribes": dict,
            "_loop": asyncio.AbstractEventLoop,
            "_misc_task": type(None),
        }
        for name, kind in kinds.items():
            assert isinstance(getattr(client, name), kind), f"{name}: {REMEDY}"
        assert isinstance(inner, paho.Client), REMEDY
        assert inner._manual_ack is True, REMEDY
        assert inner._ping_t == 0, REMEDY
        assert {"command", "remaining_length", "packet"} <= inner._in_packet.keys(), REMEDY
        assert isinstance(inner._last_bytes_received, float | int), REMEDY
        assert inner.on_message == client._on_message, REMEDY
        assert inner.on_socket_open == client._on_socket_open, REMEDY
        assert inner.on_socket_close == client._on_socket_close, REMEDY
        assert inner.on_socket_register_write == client._on_socket_register_write, REMEDY
        assert inner.on_disconnect == client._on_disconnect, REMEDY

    asyncio.run(scenario())


def test_one_loop_read_reads_at_most_one_packet():
    """The bound on what is in flight is exact because paho takes one packet per call while nothing is outgoing."""
    source = inspect.getsource(paho.Client.loop_read)
    assert "len(self._out_messages) + len(self._in_messages)" in source, REMEDY

"""engine.intake.broker: the real rumqttd child comes up, says what is wrong, and never outlives its parent."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import BrokerConfig, IntakeConfig
from engine.intake.broker import BrokerError, EmbeddedBroker
from tests.support.mosquitto import publish
from tests.support.realparts import free_port, listening
from tests.support.wait import until, until_async


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_listens_on_loopback_within_the_block_and_is_gone_after():
    """Both ports take connections on 127.0.0.1 alone; afterwards the process and the ports are free."""

    async def scenario():
        config = BrokerConfig(port=free_port(), mqtt5_port=free_port())
        async with EmbeddedBroker(config, IntakeConfig()) as broker:
            pid = broker.pid
            await asyncio.to_thread(publish, config.port, [("a", b"x")])
            await asyncio.to_thread(publish, config.mqtt5_port, [("a", b"x")], version5=True)
            listening_on = {
                line.split()[1]
                for table in ("/proc/net/tcp", "/proc/net/tcp6")
                for line in Path(table).read_text().splitlines()[1:]
                if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) in broker.ports
            }
            assert listening_on == {f"0100007F:{port:04X}" for port in broker.ports}
        assert not alive(pid)
        assert not any(listening(port) for port in broker.ports)

    asyncio.run(scenario())


@pytest.mark.parametrize("which", ["port", "mqtt5_port"])
def test_a_taken_port_is_a_clear_error(which):
    """The message names the address and what to do; nothing is left behind."""

    async def scenario():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            config = BrokerConfig(**{"port": free_port(), which: taken.getsockname()[1]})
            with pytest.raises(BrokerError, match=rf"can't listen on 127\.0\.0\.1:{taken.getsockname()[1]}: Address"):
                await EmbeddedBroker(config, IntakeConfig()).__aenter__()

    asyncio.run(scenario())


def test_an_address_of_another_machine_is_a_clear_error():
    """An address that is not ours can't be listened on."""
    broker = EmbeddedBroker(BrokerConfig(listen="192.0.2.1", port=free_port()), IntakeConfig())
    with pytest.raises(BrokerError, match=r"can't listen on 192\.0\.2\.1"):
        asyncio.run(broker.__aenter__())


def test_a_payload_past_the_limit_still_arrives_so_that_it_can_be_said():
    """The broker takes twice the limit of the intake."""

    async def scenario():
        config = BrokerConfig(port=free_port())
        async with EmbeddedBroker(config, IntakeConfig(payload_bytes_max=100_000)):
            await asyncio.to_thread(publish, config.port, [("a", b"x" * 199_000)])

    asyncio.run(scenario())


def test_a_broker_that_dies_is_noticed():
    """`watch` raises when the child ends by itself."""

    async def scenario():
        async with EmbeddedBroker(BrokerConfig(port=free_port()), IntakeConfig()) as broker:
            os.kill(broker.pid, signal.SIGKILL)
            with pytest.raises(BrokerError, match="ended by itself with exit code -9"):
                await broker.watch()

    asyncio.run(scenario())


def test_a_cancelled_start_leaves_no_child():
    """Cancelled at any point of the start, the child is gone."""

    async def scenario():
        for turns in range(0, 40, 5):
            broker = EmbeddedBroker(BrokerConfig(port=free_port()), IntakeConfig())
            entering = asyncio.ensure_future(broker.__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
            assert not listening(broker.ports[0])
        await until_async(lambda: children_of(os.getpid()) == set(), what="no child is left")

    asyncio.run(scenario())


def children_of(pid):
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = (task / "children").read_text().split()
        found |= {child for child in children if b"engine.intake.broker" in Path(f"/proc/{child}/cmdline").read_bytes()}
    return found


def test_the_child_dies_with_its_parent(tmp_path):
    """kill -9 of the daemon takes the broker with it."""
    port = free_port()
    program = (
        "import asyncio\n"
        "from engine.config import BrokerConfig, IntakeConfig\n"
        "from engine.intake.broker import EmbeddedBroker\n"
        "async def main():\n"
        f"    async with EmbeddedBroker(BrokerConfig(port={port}), IntakeConfig()) as broker:\n"
        "        print(broker.pid, flush=True)\n"
        "        await broker.watch()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
        parent.wait()
        until(lambda: not alive(pid), what="the child is gone")
        until(lambda: not listening(port), what="the port is free")

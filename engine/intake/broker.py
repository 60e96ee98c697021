"""The embedded MQTT broker: rumqttd, from the wheel `iotcore`, as a child process. For a first run and for tests.

`engine.app` enters an `EmbeddedBroker` before the doors and leaves it after them. Run as a module this file is the
child. It keeps sessions and queues in memory only: a broker with persistence is what a real installation wants.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.config import BrokerConfig, IntakeConfig

READY_WITHIN_S = 15.0
STOP_WITHIN_S = 3.0
SEGMENT_BYTES = 8_388_608
SEGMENTS_MAX = 8
"""Kept per topic filter; what a subscriber has not fetched when the oldest segment goes, it never gets."""
CONNECTIONS_MAX = 1_000
IN_FLIGHT_MAX = 500
_PACKET_OVERHEAD_BYTES = 65_536


class BrokerError(Exception):
    """The embedded broker can't start or has ended; the message says why and what to do."""


class EmbeddedBroker:
    """`async with EmbeddedBroker(config.broker, config.intake):` the broker listens within, and is gone after.

    The child ends by itself when this process does, however it ends. Raises BrokerError on entry.
    """

    def __init__(self, config: BrokerConfig, intake: IntakeConfig) -> None:
        self._config = config
        self._payload_bytes_max = intake.payload_bytes_max
        self._process: asyncio.subprocess.Process | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def ports(self) -> list[int]:
        """The ports it listens on: MQTT 3.1.1, then MQTT 5 where it is on."""
        return [each for each in (self._config.port, self._config.mqtt5_port) if each]

    @property
    def pid(self) -> int:
        """The process id of the child."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        for port in self.ports:
            _assert_free(self._config.listen, port)
        self._folder = tempfile.TemporaryDirectory(prefix="halon-broker-")
        folder = Path(self._folder.name)
        (folder / "broker.toml").write_text(self._rumqttd_config(), encoding="utf-8")
        try:
            with (folder / "log").open("wb") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-I",
                    "-m",
                    "engine.intake.broker",
                    str(folder / "broker.toml"),
                    stdin=asyncio.subprocess.PIPE,  # the child ends when this pipe closes
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the daemon, which stops the broker last
                )
            await self._wait_ready(folder / "log")
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def watch(self) -> None:
        """Wait for ever; raises BrokerError when the child ends by itself."""
        assert self._process is not None, "watch() is for the time within the context"
        code = await self._process.wait()
        raise BrokerError(f"the embedded broker ended by itself with exit code {code}")

    async def _wait_ready(self, log: Path) -> None:
        process = self._process
        assert process is not None
        ended = asyncio.ensure_future(process.wait())
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                for port in self.ports:
                    while not await _accepts(self._config.listen, port):
                        await asyncio.wait({ended}, timeout=0.05)
                        if ended.done():
                            said = log.read_text(encoding="utf-8", errors="replace")[-2_000:].strip()
                            raise BrokerError(f"the embedded broker ended with exit code {ended.result()}: {said}")
        except TimeoutError:
            raise BrokerError(f"the embedded broker does not listen after {READY_WITHIN_S:g} s") from None
        finally:
            ended.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ended

    async def _stop(self) -> None:
        process, self._process = self._process, None
        try:
            if process is not None and process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(STOP_WITHIN_S):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()
            if process is not None and process.stdin is not None:
                process.stdin.close()
        finally:
            if self._folder is not None:
                self._folder.cleanup()

    def _rumqttd_config(self) -> str:
        """The settings of rumqttd. It takes one version of MQTT per port, and acknowledgements only in order."""
        lines = [
            "id = 0",
            "[router]",
            "id = 0",
            f"max_connections = {CONNECTIONS_MAX}",
            "max_outgoing_packet_count = 200",
            f"max_segment_size = {SEGMENT_BYTES}",
            f"max_segment_count = {SEGMENTS_MAX}",
        ]
        for version, port in (("v4", self._config.port), ("v5", self._config.mqtt5_port)):
            if port:
                lines += [
                    f"[{version}.1]",
                    f'name = "{version}-1"',
                    f"listen = {json.dumps(_address(self._config.listen, port))}",
                    "next_connection_delay_ms = 1",
                    f"[{version}.1.connections]",
                    "connection_timeout_ms = 10000",
                    # Twice the limit: what is a little too large arrives and becomes a dead letter that says so
                    f"max_payload_size = {2 * self._payload_bytes_max + _PACKET_OVERHEAD_BYTES}",
                    f"max_inflight_count = {IN_FLIGHT_MAX}",
                    "dynamic_filters = true",
                ]
        return "\n".join(lines) + "\n"


def _assert_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BrokerError(
                f"the embedded broker can't listen on {_address(host, port)}: {error.strerror}; "
                "set `port` in [broker], or `enabled = false` to use the broker that runs there"
            ) from None


async def _accepts(host: str, port: int) -> bool:
    wildcard = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where to knock, not where to listen
    try:
        _, writer = await asyncio.open_connection(wildcard.get(host, host), port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _serve(config_path: str) -> None:
    """The child: serve until the parent closes our standard input or ends."""
    from iotcore import IotCoreBroker  # noqa: PLC0415  # the parent never loads it

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True, name="parent").start()
    IotCoreBroker(config_path=config_path).run_forever()


if __name__ == "__main__":
    _serve(sys.argv[1])

"""A real mosquitto on a free port of 127.0.0.1, with persistence, to start, kill and start again on the same data."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.realparts import free_port, listening, missing, need
from tests.support.wait import until


class Mosquitto:
    """`with Mosquitto(tmp_path) as broker:` listens on `broker.port`; `kill()` then `start()` keeps port and sessions.

    `settings` are lines of mosquitto.conf. Every change is saved at once, but 2.0.11 acknowledges a moment before it
    saves: `saved()` before `kill()`, where nothing that was acknowledged may be lost.
    """

    def __init__(self, folder: Path, *, settings: Sequence[str] = (), port: int | None = None) -> None:
        self.binary = need("mosquitto")
        self.folder = folder
        self.port = port or free_port()
        self.log = folder / "mosquitto.log"
        self.settings = list(settings)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Mosquitto":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        assert self._process is None, "runs already"
        data = self.folder / "mosquitto-data"
        data.mkdir(exist_ok=True)
        anonymous = not any(line.startswith("allow_anonymous") for line in self.settings)
        config = self.folder / "mosquitto.conf"
        config.write_text(
            "\n".join(
                [
                    *(["user root"] if data.owner() == "root" else []),
                    *(["allow_anonymous true"] if anonymous else []),
                    "persistence true",
                    f"persistence_location {data}/",
                    "autosave_on_changes true",
                    "autosave_interval 1",
                    "max_queued_messages 0",
                    "log_dest stderr",
                    f"listener {self.port} 127.0.0.1",
                    *self.settings,
                ]
            )
            + "\n"
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, "-c", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        process = self._process
        until(lambda: process.poll() is not None or listening(self.port), what="mosquitto listens")
        assert process.poll() is None, self.log.read_text(errors="replace")[-2_000:]

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "does not run"
        return self._process.pid

    def saved(self) -> None:
        """Return once all that was acknowledged so far is in the file."""
        file = self.folder / "mosquitto-data" / "mosquitto.db"
        before_ns = file.stat().st_mtime_ns if file.exists() else 0
        # A change of its own, so that there is something to save; a save that ends after now has all of before in it.
        publish(self.port, [("tests/saved", b"")])
        until(lambda: file.exists() and file.stat().st_mtime_ns != before_ns, what="mosquitto has saved")

    def stop(self) -> None:
        """End it in order; it saves its sessions."""
        self._end(kill=False)

    def kill(self) -> None:
        """kill -9."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill() if kill else process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def need_library(name: str) -> str:
    """The path of a plug-in that comes with mosquitto."""
    found = next(Path("/usr/lib").glob(f"**/{name}"), None)
    return str(found) if found else missing(f"`{name}` is not installed: apt-get install mosquitto")


def publish(
    port: int,
    messages: Iterable[tuple[str, bytes]],
    *,
    version5: bool = False,
    qos: int = 1,
    properties: Iterable[tuple[str, str]] = (),
) -> None:
    """Publish (topic, payload) pairs from a client of its own; returns when the broker has acknowledged all.

    `properties` are user properties of each of them, which take `version5`.
    """
    beside = None
    if properties:
        beside = Properties(PacketTypes.PUBLISH)
        beside.UserProperty = list(properties)
    client = paho.Client(
        CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5 if version5 else paho.MQTTv311, reconnect_on_failure=False
    )
    client.max_inflight_messages_set(100)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        sent = [client.publish(topic, payload, qos=qos, properties=beside) for topic, payload in messages]
        for each in sent:
            each.wait_for_publish(30)
            assert each.is_published()
    finally:
        client.disconnect()
        client.loop_stop()

"""A training run: batches from the data server to a falling loss, and to the events that any training loop could send.

    python -m demo.train --config FILE

It fetches each batch with the bearer token in its token file, takes a step, and publishes two CloudEvents over MQTT
(QoS 1): `training.step` (loss, norm of the gradient, accuracy on a small trusted probe batch that it keeps itself) and
`training.batch` (where the batch came from, how its labels are spread, on how many of them the network agreed). Both
name what it takes to stop this run: process and when it started, token file, checkpoint, config. It never judges its
data.

SIGHUP makes it read the token file again, as does a refusal (401) by the server. Checkpoints are written every few
steps. It knows nothing of Halon: events go to a topic of a broker.
"""

import argparse
import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import aiomqtt
import msgspec
import numpy as np

from demo.network import Bytes, Network, StepReport


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The config file of a run, in JSON. It holds the path of the token, never the token. Durations are seconds."""

    run: str
    data_url: str
    token_file: str
    accepted_file: str
    pid_file: str
    checkpoint: str
    probe: str
    mqtt_port: int
    seed: int = 1
    rate: float = 0.05
    batch_size: int = 32
    step_every_s: float = 0.03
    checkpoint_every_steps: int = 25
    steps_max: int = 20_000
    mqtt_host: str = "127.0.0.1"
    topic: str = "halon/events/training"


RETRY_PAUSES_S = (0.1, 0.5, 2.0)


class TokenRefused(Exception):  # noqa: N818  # a state of the server, not a mistake
    """The data server answered 401."""


class Loader:
    """Batches of the data server; holds the token, and reads it again when told to."""

    def __init__(self, config: RunConfig, session: aiohttp.ClientSession) -> None:
        self._config, self._session = config, session
        self.reload()

    def reload(self) -> None:
        """Take the token that the file holds now."""
        self._token = Path(self._config.token_file).read_text().strip()

    async def batch(self, step: int) -> tuple[Bytes, Bytes]:
        """Images and labels of batch `step`. Raises TokenRefused when the token file holds none that is let in.

        A request that broke off (this process was stopped while it waited, the server restarted) is made again.
        """
        for pause_s in RETRY_PAUSES_S:
            try:
                return await self._fetch(step)
            except TokenRefused:
                self.reload()
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(pause_s)
        return await self._fetch(step)

    async def _fetch(self, step: int) -> tuple[Bytes, Bytes]:
        query = {"step": step, "size": self._config.batch_size}
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.get(f"{self._config.data_url}/batch", params=query, headers=headers) as response:
            if response.status == 401:
                raise TokenRefused
            response.raise_for_status()
            body = await response.read()
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            return archive["images"], archive["labels"]


class Run:
    """The training loop of one run."""

    def __init__(self, config: RunConfig, config_path: Path) -> None:
        self._config, self._config_path = config, config_path
        self._network = Network(seed=config.seed, rate=config.rate)
        self._started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        with np.load(config.probe, allow_pickle=False) as archive:
            self._probe = archive["images"], archive["labels"]

    async def events(self, loader: Loader) -> AsyncIterator[dict[str, Any]]:
        """Train, step by step; the events of each."""
        for step in range(self._config.steps_max):
            images, labels = await loader.batch(step)
            report = self._network.step(images, labels)
            if step % self._config.checkpoint_every_steps == 0:
                self._network.save(Path(self._config.checkpoint), step=step)
            data = self._step_data(step, report)
            print(f"step {step} loss {data['loss']:.3f} probe accuracy {data['probe_accuracy']:.3f}", flush=True)
            yield self._event("training.batch", step, self._batch_data(step, labels, report))
            yield self._event("training.step", step, data)
            await asyncio.sleep(self._config.step_every_s)

    def _step_data(self, step: int, report: StepReport) -> dict[str, Any]:
        return {
            "step": step,
            "loss": report.loss,
            "gradient_norm": report.gradient_norm,
            "learning_rate": self._config.rate,
            "probe_accuracy": self._network.accuracy(*self._probe),
        }

    def _batch_data(self, step: int, labels: Bytes, report: StepReport) -> dict[str, Any]:
        return {
            "step": step,
            "samples": len(labels),
            "dataset": self._config.data_url,
            "label_counts": np.bincount(labels, minlength=10).tolist(),
            "agreement": report.batch_accuracy,
        }

    def _event(self, kind: str, step: int, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": f"{self._config.run}-{kind}-{step}",
            "source": f"//{os.uname().nodename}/training/{self._config.run}",
            "type": kind,
            "subject": self._config.run,
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": data | self._whereabouts(),
        }

    def _whereabouts(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "started": self._started,
            "pid_file": self._config.pid_file,
            "checkpoint": self._config.checkpoint,
            "config": str(self._config_path),
            "token_file": self._config.token_file,
            "token_accepted_file": self._config.accepted_file,
        }


async def train(config: RunConfig, config_path: Path) -> None:
    """Train and publish until the steps are done or SIGTERM comes; a lost broker connection is made again."""
    run = Run(config, config_path)
    Path(config.pid_file).write_text(f"{os.getpid()}\n")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        loader = Loader(config, session)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, loader.reload)
        this = asyncio.current_task()
        if this is not None:
            loop.add_signal_handler(signal.SIGTERM, this.cancel)
        events = run.events(loader)
        event = await anext(events, None)
        while event is not None:
            try:
                async with aiomqtt.Client(config.mqtt_host, config.mqtt_port, identifier=config.run) as client:
                    while event is not None:
                        await client.publish(config.topic, json.dumps(event), qos=1)
                        event = await anext(events, None)
            except aiomqtt.MqttError as error:
                print(f"broker: {error}; trying again", file=sys.stderr)
                await asyncio.sleep(0.5)


def main() -> None:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    path = parser.parse_args().config
    try:
        asyncio.run(train(msgspec.json.decode(path.read_bytes(), type=RunConfig), path))
    except asyncio.CancelledError:
        sys.exit(0)
    except TokenRefused:
        sys.exit("the data server refuses the token, and the token file holds no other")


if __name__ == "__main__":
    main()

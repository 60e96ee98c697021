"""The stage of the demonstration: a private folder to a data store, a token, a training run and a config of Halon.

Everything that the demonstration makes lies in this folder, and it alone tampers with the data (`poison`). Called by
`demo.__main__`.
"""

import hashlib
import json
import os
import secrets
import socket
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from demo.train import RunConfig

DATA = Path(__file__).parent / "data" / "optdigits.npz"
PROBE_SAMPLES = 200
"""Samples that never enter the data store: the trusted probe batch."""
POISONED_SHARE = 0.5
"""Share of the stored labels that the attack replaces by another digit."""
RUN = "digits-1"


class Site(NamedTuple):
    """The places of the demonstration."""

    folder: Path

    @property
    def store(self) -> Path:
        """What the data server serves, and whom it lets in."""
        return self.folder / "data-server"

    @property
    def accepted(self) -> Path:
        """SHA-256 of each token that the data server takes."""
        return self.store / "accepted.sha256"

    @property
    def dataset(self) -> Path:
        """The stored training data."""
        return self.store / "dataset.npz"

    @property
    def run(self) -> Path:
        """What belongs to the training run."""
        return self.folder / "run"

    @property
    def token_file(self) -> Path:
        """Where the run takes its token from."""
        return self.run / "token"

    @property
    def state(self) -> Path:
        """The state of the daemon."""
        return self.folder / "halon"

    @property
    def halon_config(self) -> Path:
        """The daemon's config."""
        return self.folder / "config.toml"

    @property
    def run_config(self) -> Path:
        """The config of the training run."""
        return self.run / "config.json"


def prepare(folder: Path, *, seed: int = 7) -> Site:
    """Lay out the folder (mode 0700): data split into store and probe, a token and its hash."""
    site = Site(folder)
    for each in (site.store, site.run, site.state):
        each.mkdir(parents=True, mode=0o700)
    with np.load(DATA, allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    order = np.random.default_rng(seed).permutation(len(labels))
    probe, rest = order[:PROBE_SAMPLES], order[PROBE_SAMPLES:]
    np.savez(site.run / "probe.npz", images=images[probe], labels=labels[probe])
    np.savez(site.dataset, images=images[rest], labels=labels[rest])
    token = secrets.token_urlsafe(32)
    _write_private(site.token_file, token + "\n")
    _write_private(site.accepted, hashlib.sha256(token.encode()).hexdigest() + "\n")
    return site


def write_run_config(site: Site, *, data_port: int, mqtt_port: int) -> RunConfig:
    """The config of the training run, written to its file."""
    config = RunConfig(
        run=RUN,
        data_url=f"http://127.0.0.1:{data_port}",
        token_file=str(site.token_file),
        accepted_file=str(site.accepted),
        pid_file=str(site.run / "pid"),
        checkpoint=str(site.run / "checkpoint.npz"),
        probe=str(site.run / "probe.npz"),
        mqtt_port=mqtt_port,
    )
    site.run_config.write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")
    return config


def write_halon_config(site: Site, *, rules: Path, mqtt_port: int) -> None:
    """A config for the daemon: its own state folder, the embedded broker, the shipped rules; the rest are defaults."""
    # JSON strings are TOML strings.
    site.halon_config.write_text(
        f'[daemon]\nstate_dir = {json.dumps(str(site.state))}\nlog_format = "json"\n\n'
        f"[rules]\npaths = [{json.dumps(str(rules))}]\n\n"
        f"[broker]\nenabled = true\nport = {mqtt_port}\n\n"
        f'[[mqtt]]\nname = "demo"\nport = {mqtt_port}\n'
    )


def poison(site: Site, *, seed: int = 11) -> int:
    """The attack: a share of the labels in the data store becomes another digit. Returns how many."""
    with np.load(site.dataset, allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    rng = np.random.default_rng(seed)
    hit = rng.choice(len(labels), round(POISONED_SHARE * len(labels)), replace=False)
    labels[hit] = (labels[hit] + rng.integers(1, 10, len(hit))) % 10
    fresh = site.dataset.with_suffix(".new.npz")
    np.savez(fresh, images=images, labels=labels)
    fresh.replace(site.dataset)
    return len(hit)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)

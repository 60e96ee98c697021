"""Finds the real parts (servers, tools) that tests stand on; where one is missing, says so loudly.

`need("mosquitto")` gives the path of the binary. At home a missing part skips the test with the command that installs
it; with the environment variable `CI` set to `true` it is an error, so that no gate passes on parts that never ran.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.wait import until

PACKAGES = {
    "haproxy": "haproxy",
    "initdb": "postgresql",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mosquitto": "mosquitto",
    "mosquitto_ctrl": "mosquitto",
    "mosquitto_passwd": "mosquitto",
    "mosquitto_pub": "mosquitto-clients",
    "mosquitto_sub": "mosquitto-clients",
    "nft": "nftables",
    "openssl": "openssl",
    "postgres": "postgresql",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "redis-server": "redis-server",
    "sacctmgr": "slurm-client",
    "scontrol": "slurm-client",
    "nsenter": "util-linux",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "strace": "strace",
    "systemctl": "systemd",
    "unshare": "util-linux",
    "systemd-nspawn": "systemd-container",
}
"""Binary to the Debian package that holds it; scripts/packages.sh installs them all."""

_PARTS = Path(__file__).parents[2] / ".venv-parts" / "bin"
"""Servers from PyPI; scripts/parts.sh installs them."""

_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")


def need(binary: str) -> str:
    """The path of a real part's binary, or a skip (an error where CI=true) that names the package to install."""
    folders = [*_FOLDERS, *(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    # Debian's own PostgreSQL comes before one that somebody put on the path.
    path = os.pathsep.join(
        [*folders, os.environ.get("PATH", "")]
        if PACKAGES.get(binary) == "postgresql"
        else [os.environ.get("PATH", ""), *folders]
    )
    found = shutil.which(binary, path=path)
    return found or missing(f"`{binary}` is not installed: apt-get install {PACKAGES.get(binary, binary)}")


def need_part(command: str) -> str:
    """The path of a command in .venv-parts, or a skip (an error where CI=true) that says how to make it."""
    path = _PARTS / command
    return str(path) if path.exists() else missing(f"`{command}` is not installed: make parts")


def need_root(why: str) -> None:
    """Goes on only as root; otherwise skips (fails where CI=true)."""
    if os.geteuid() != 0:
        missing(f"not root: {why}")


def missing(what: str) -> str:
    """Reports a missing real part: a skip at home, an error where CI=true. Never returns."""
    message = f"MISSING REAL PART: {what}"
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def forbidden(what: str) -> NoReturn:
    """Skips where the machine itself (a container without rights, say) forbids what a test does, in CI too."""
    pytest.skip(f"FORBIDDEN HERE: {what}")


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def server(
    argv: list[str],
    *,
    log: Path,
    ready: Callable[[], object],
    env: dict[str, str] | None = None,
    stop_s: float = 10.0,
    within_s: float = 30.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a real server until the block ends; its output goes to `log`, which is shown where it does not come up."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, start_new_session=True
        )
    try:
        try:
            until(lambda: process.poll() is not None or ready(), within_s=within_s, what=f"{argv[0]} is ready")
            assert process.poll() is None, f"{argv[0]} ended with exit code {process.poll()}"
        except AssertionError as error:
            text = log.read_text(errors="replace")[-4_000:]
            pytest.fail(f"{error}\n{text}", pytrace=False)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(stop_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""A disk that takes a second to sync, as seen by one program: strace holds up each fsync and fdatasync of a process."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.realparts import forbidden, need
from tests.support.wait import until


@contextmanager
def slow_sync(pid: int, *, seconds: float, log: Path) -> Iterator[None]:
    """Every sync of the process and its threads takes that long until the block ends."""
    strace = need("strace")
    delay_us = round(seconds * 1_000_000)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                strace,
                "-f",
                "-p",
                str(pid),
                "-e",
                "trace=fsync,fdatasync",
                "-e",
                f"inject=fsync,fdatasync:delay_enter={delay_us}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: process.poll() is not None or b"attached" in log.read_bytes(), what="strace is attached")
        if process.poll() is not None:
            forbidden(f"strace cannot attach here: {log.read_text(errors='replace')[-300:]}")
        yield
    finally:
        process.terminate()
        process.wait(20)

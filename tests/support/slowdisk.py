"""A disk that is slow or takes no writes, as seen by one program: strace holds up or fails its calls to the kernel."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.realparts import forbidden, need
from tests.support.wait import until


@contextmanager
def slow_sync(pid: int, *, seconds: float, log: Path) -> Iterator[None]:
    """Every sync of the process and its threads takes that long until the block ends."""
    with _injected(pid, "fsync,fdatasync", f"delay_enter={round(seconds * 1_000_000)}", log=log):
        yield


@contextmanager
def refused_writes(pid: int, *, error: str, files: Sequence[Path], log: Path) -> Iterator[None]:
    """Every write of the process to these open files fails with `error` (EROFS, EIO) until the block ends.

    As the kernel answers where it has made a file system read-only under files that are open for writing.
    """
    with _injected(pid, "pwrite64,fsync,fdatasync,ftruncate,fallocate", f"error={error}", log=log, files=files):
        yield


@contextmanager
def refused_reads(pid: int, *, error: str, files: Sequence[Path], log: Path) -> Iterator[None]:
    """Every read of the process from these open files fails with `error` until the block ends: a bad block does so."""
    with _injected(pid, "pread64", f"error={error}", log=log, files=files):
        yield


@contextmanager
def _injected(pid: int, calls: str, what: str, *, log: Path, files: Sequence[Path] = ()) -> Iterator[None]:
    strace = need("strace")
    where = [argument for file in files for argument in ("-P", str(file))]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [strace, "-f", "-p", str(pid), *where, "-e", f"trace={calls}", "-e", f"inject={calls}:{what}"],
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

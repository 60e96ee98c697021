"""What several actions share: files replaced whole, programs run, and operating errors put into words.

Used by the files of `actions/` only. Nothing here raises anything but OSError and TargetError for what the system does.
"""

import asyncio
import errno
import fcntl
import functools
import hashlib
import importlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from engine.action import ActionContext
from engine.model import Failed, Json

T = TypeVar("T")

_TALKERS = ("apprise", "boto3", "botocore", "hvac", "requests", "urllib3")
"""Loggers of client libraries that write out addresses, headers and bodies, and so tokens and passwords."""


def sha256(data: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def text_of(receipt: Mapping[str, Json], name: str) -> str:
    """A string field of a receipt; empty where it is missing or something else."""
    value = receipt.get(name)
    return value if isinstance(value, str) else ""


def describe(error: OSError) -> str:
    """An operating error for people: `Permission denied: /etc/token`."""
    text = error.strerror or os.strerror(error.errno or errno.EIO)
    return f"{text}: {error.filename}" if error.filename else text


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the advisory lock of a folder, so that two runs of one action on it, even of two processes, take turns."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_new(path: Path, data: bytes, *, mode: int, like: os.stat_result | None = None) -> None:
    """Writes a file that did not exist, flushed to the disk; `like` gives its owner. Raises FileExistsError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(data)
        if like is not None and (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(handle, like.st_uid, like.st_gid)
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, data: bytes, *, mode: int, like: os.stat_result | None, staged: Path) -> None:
    """Puts new content at `path` in one atomic step by way of `staged` in the same folder; readers see old or new."""
    staged.unlink(missing_ok=True)
    write_new(staged, data, mode=mode, like=like)
    move(staged, path)


def move(source: Path, target: Path) -> None:
    """Renames within one file system, and makes the rename survive a power cut."""
    source.rename(target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


def sync_folder(folder: Path) -> None:
    """Flushes the entries of a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class TargetError(Exception):
    """A target that can't be reached, or refuses what was asked; the text says what to do about it.

    `retryable` only where it is proven that nothing happened.
    """

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable


def failed(error: TargetError) -> Failed:
    """The outcome of a step that met it."""
    return Failed(str(error), error.retryable)


async def probed(reaching: Awaitable[object]) -> str:
    """What an action's `probe` says of an attempt to reach its service: the failure, or nothing."""
    try:
        await reaching
    except TargetError as error:
        return str(error)
    return ""


async def reached(connection: AbstractAsyncContextManager[object]) -> None:
    """Opens a connection and closes it. Raises TargetError as it does."""
    async with connection:
        pass


def library(module: str, *, extra: str) -> Any:
    """An optional client library. Raises TargetError that says how to install it."""
    for each in _TALKERS:
        logging.getLogger(each).setLevel(logging.CRITICAL + 1)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise TargetError(
            f"the Python library `{package}` is missing; install it: pip install 'halon[{extra}]'"
        ) from error


async def in_thread(call: Callable[..., T], *arguments: object) -> T:
    """Runs a blocking call in a thread. Cancelled, it waits for the call first: nothing is done behind a step's back.

    The call must end by itself, within a time-out of its library.
    """
    future = asyncio.get_running_loop().run_in_executor(None, functools.partial(call, *arguments))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        raise


def read_secret(context: ActionContext, name: str) -> str:
    """The secret that a setting names; empty where it names none. Raises TargetError where it does not exist."""
    if not name:
        return ""
    try:
        return context.secret(name)
    except KeyError as error:
        raise TargetError(f"there is no secret named `{name}`; add it to the secrets of halond") from error


async def run(
    argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 20.0, env: Mapping[str, str] | None = None
) -> tuple[int, bytes, bytes]:
    """Runs a program without a shell: exit code, output, errors. It is killed on time-out and on cancellation.

    `env` is added to halond's environment.

    Raises TargetError where it can't be started or does not end.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if env is None else {**os.environ, **env},
        )
    except OSError as error:
        raise TargetError(f"can't run {argv[0]}: {describe(error)}; install it", retryable=True) from error
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), timeout_s)
    except TimeoutError as error:
        raise TargetError(f"{argv[0]} did not end within {timeout_s:g} s; see whether its service answers") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out, err

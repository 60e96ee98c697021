"""A long pass over the store in a process of its own: what `Store.apart` starts, and what stands at its other end.

A thread would share the interpreter with the event loop, which then waits up to 5 ms each time that it wants it: an
action was done 190 ms after its event at p99 while threads looked through the flight recorder, and 22 ms without.
"""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engine.store.connection import Connection, open_readonly
from engine.store.errors import StoreBusyOrFull, StoreCorrupt, classify

WITHIN_S = 120.0
"""A pass that takes longer is ended."""
NICE = 5
"""How far a pass stands behind the daemon where processors are short."""
SAID_CHARS_MAX = 500
EXIT_DAMAGED = 3
"""What a pass ends with that finds the store damaged."""


class Passes:
    """The passes under way over one database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def ask(self, module: str, request: bytes) -> bytes:
        """What `module`, run as a process on the database, answers. Blocks; StoreBusyOrFull or StoreCorrupt."""
        # No working directory among the paths that modules are looked for in (-P)
        command = [sys.executable, "-P", "-m", module, str(self._path)]
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)  # noqa: S603  # modules of our own
        except OSError as error:
            raise StoreBusyOrFull(f"`{module}` cannot be started: {error}") from error
        with process:
            self._running.add(process)
            try:
                if self._stopped:
                    process.kill()
                answer, said = process.communicate(request, timeout=WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise StoreBusyOrFull(f"`{module}` did not end within {WITHIN_S:.0f} s") from None
            finally:
                self._running.discard(process)
        if process.returncode:
            why = said.decode(errors="replace").strip()[-SAID_CHARS_MAX:]
            if process.returncode == EXIT_DAMAGED:
                raise StoreCorrupt(why)
            raise StoreBusyOrFull(f"`{module}` ended with {process.returncode}: {why}")
        return answer

    def stop(self) -> None:
        """End those under way, and any that would still start: nobody waits for what they would say."""
        self._stopped = True
        for process in tuple(self._running):
            process.kill()


def serve(answer: Callable[[Connection, bytes], bytes]) -> None:
    """Be that process: the request from stdin, one snapshot of the store, the answer to stdout."""
    # Whatever priority the daemon was given is not for this: it would stand in the daemon's own way. A sandbox that
    # forbids even a lower one is none to fail for.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.nice(NICE)
    path = Path(sys.argv[1])
    try:
        connection = open_readonly(path)
        connection.execute("BEGIN")
        sys.stdout.buffer.write(answer(connection, sys.stdin.buffer.read()))
    except (sqlite3.Error, StoreCorrupt) as error:
        failure = classify(error, path) if isinstance(error, sqlite3.Error) else error
        if not isinstance(failure, StoreCorrupt):
            raise
        sys.stderr.write(str(failure))
        sys.exit(EXIT_DAMAGED)

"""Functions on a connection to durable transactions: the `Store` that the daemon reads and writes through.

One writer thread runs queued functions, several of them in one transaction (group commit), so that the event loop
never waits for a disk and one sync serves many. Readers have connections of their own and see committed data only.
The pipeline, `engine.contain` and `engine.operate` call it.
"""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from engine.store.apart import Passes
from engine.store.connection import Connection, connect, open_readonly, require_sound
from engine.store.damage import LostLog, find_lost
from engine.store.errors import StoreBusyOrFull, StoreClosed, StoreCorrupt, StoreError, classify
from engine.store.lock import is_read_only, take_lock
from engine.store.migrate import Migration, migrate, shipped
from engine.store.soundness import require_whole

T = TypeVar("T")

GROUP_MAX = 64
"""Functions that share one transaction at most."""
QUEUED_MAX = 1_024
"""Writes waiting for the writer; past this `write` waits its turn on the loop."""
READERS_MAX = 4
"""Reads under way at once; more wait their turn."""


class _Job:
    """One function on its way to the writer and its result on the way back."""

    __slots__ = ("error", "function", "future", "result")

    def __init__(self, function: Callable[[Connection], Any]) -> None:
        self.function = function
        self.future: Future[Any] = Future()
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self, failure: BaseException | None = None) -> None:
        """Hand the result, the function's own error, or the transaction's failure to whoever waits."""
        error = self.error or failure
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.result)


class Store:
    """The database of one state directory; made by `open`."""

    def __init__(
        self,
        path: Path,
        lock: int,
        connection: Connection,
        reader: Connection,
        damaged: "asyncio.Future[StoreCorrupt]",
        *,
        backup: Path | None,
        lost: LostLog | None,
    ) -> None:
        self.path = path
        self.backup = backup
        """Where the database was copied to before a migration at this opening, if there was one."""
        self.lost = lost
        """What the write-ahead log was found to have lost at this opening."""
        self._damage: StoreCorrupt | None = None
        self._damaged = damaged
        self._lock = lock
        self._connection = connection
        self._file = _identity(path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(QUEUED_MAX)
        self._closed = False
        self.under_way = 0
        """Reads and writes that were asked for and are not answered yet: for metrics, and to wait for quiet."""
        self._local = threading.local()
        self._reading: list[sqlite3.Connection] = [reader]
        self._passes = Passes(path)
        self._readers = ThreadPoolExecutor(max_workers=READERS_MAX, thread_name_prefix="halon-read")
        self._writer = threading.Thread(target=self._run_writer, name="halon-write", daemon=True)
        self._writer.start()

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        audit_key: bytes | None = None,
        migrations: Sequence[Migration] | None = None,
        now_us: int = 0,
        whole: bool = False,
    ) -> Self:
        """Take the lock, check the file, bring the schema up to date.

        `whole` looks at all of it, not at its structure alone. Where the log lost commits, it is looked at whole too,
        and the files as they were are copied aside under the name of `now_us` first.
        Raises StoreLocked, StoreCorrupt, StoreTooNew or StoreBusyOrFull; nothing is left open then.
        """
        damaged: asyncio.Future[StoreCorrupt] = asyncio.get_running_loop().create_future()

        scripts = shipped() if migrations is None else migrations
        return await asyncio.to_thread(
            cls._open, path, damaged, audit_key=audit_key, scripts=scripts, now_us=now_us, whole=whole
        )

    @classmethod
    def _open(
        cls,
        path: Path,
        damaged: "asyncio.Future[StoreCorrupt]",
        *,
        audit_key: bytes | None,
        scripts: Sequence[Migration],
        now_us: int,
        whole: bool,
    ) -> Self:
        lock = take_lock(path)
        connection: Connection | None = None
        try:
            lost = find_lost(path, now_us)
            connection = connect(path, audit_key=audit_key)
            if whole or lost is not None:
                require_whole(connection, path)
            else:
                require_sound(connection, path)
            backup = migrate(connection, path, scripts)
            return cls(path, lock, connection, open_readonly(path), damaged, backup=backup, lost=lost)
        except BaseException as error:
            if connection is not None:
                connection.close()
            os.close(lock)
            if isinstance(error, sqlite3.Error):
                raise classify(error, path) or error from error
            if isinstance(error, OSError):
                raise StoreBusyOrFull(f"{path} cannot be opened: {error}") from error
            raise

    async def write(self, function: Callable[[Connection], T]) -> T:
        """Run `function` in a transaction and return its result once that is on disk.

        Where it raises, its own changes are undone and the error comes out here; others in the same transaction are
        not touched. Where the transaction fails, StoreBusyOrFull or StoreCorrupt. It must touch the connection only:
        it runs in another thread. A caller that is cancelled does not stop it.
        """
        with self._counted():
            async with self._room:
                if self._closed:
                    raise StoreClosed(f"{self.path} is closed")
                job = _Job(function)
                self._jobs.put(job)
                # Shielded, so that a cancelled caller leaves a future behind that the writer can still settle.
                result: T = await asyncio.shield(asyncio.wrap_future(job.future))
        return result

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Run `function` on one snapshot of the committed data, on a connection that cannot write."""
        if self._closed:
            raise StoreClosed(f"{self.path} is closed")
        with self._counted():
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, function)

    async def apart(self, module: str, request: bytes) -> bytes:
        """What `module`, run as a process on this database (`engine.store.apart`), answers, or raises as `read`."""
        if self._closed:
            raise StoreClosed(f"{self.path} is closed")
        with self._counted():
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._readers, self._passes.ask, module, request
                )
            except StoreCorrupt as failure:
                self._look_at(failure)
                raise

    async def damage(self) -> StoreCorrupt:
        """Wait until SQLite finds the files damaged, in whatever read or write; from then on nothing is committed."""
        return await asyncio.shield(self._damaged)

    async def close(self) -> None:
        """Finish what is queued, fold the log into the database, let the lock go. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._passes.stop()
        self._jobs.put(None)
        await asyncio.to_thread(self._take_down)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def _take_down(self) -> None:
        self._writer.join()
        self._readers.shutdown()
        if self._damage is None:
            for connection in self._reading:
                connection.close()
            # The log stays valid if this fails; the next opening reads it.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
        else:
            self._leave_as_it_is()
        os.close(self._lock)

    def _leave_as_it_is(self) -> None:
        """Close damaged files without folding the log in: what is sound in either is for the next start to tell.

        SQLite folds at the last closing, unless that connection is one that can't write: one is open since `open`.
        """
        for connection in (self._connection, *self._reading):
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _read(self, function: Callable[[Connection], T]) -> T:
        try:
            connection: Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = open_readonly(self.path)
                self._local.connection = connection
                self._reading.append(connection)
            connection.execute("BEGIN")
            try:
                return function(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            failure = classify(error, self.path)
            self._look_at(failure)
            raise failure or error from error
        except StoreCorrupt as failure:
            self._look_at(failure)
            raise

    def _look_at(self, failure: BaseException | None) -> None:
        """Damage is told once, to whoever waits for it, before the failure reaches its caller."""
        if not isinstance(failure, StoreCorrupt) or self._damage is not None:
            return
        self._damage = failure
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._damaged.get_loop().call_soon_threadsafe(_tell, self._damaged, failure)

    def _run_writer(self) -> None:
        """The writer thread: takes what is queued, up to GROUP_MAX, and commits it together."""
        while True:
            job = self._jobs.get()
            if job is None:
                return
            group, last = [job], False
            while len(group) < GROUP_MAX and not last:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                else:
                    group.append(more)
            self._commit(group)
            if last:
                return

    def _commit(self, group: list[_Job]) -> None:
        """One transaction for the group; every job is settled at the end, whatever happens."""
        failure: BaseException | None = None
        try:
            self._require_usable()
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._run(job)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            failure = classify(error, self.path) or error
        except _GroupLostError as lost:
            failure = lost.cause
        if failure is not None and self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
        self._look_at(failure)
        if isinstance(failure, StoreBusyOrFull) and is_read_only(self._lock):
            failure = StoreBusyOrFull(
                f"{self.path}: its file system is read-only; the kernel's log says why (`dmesg`): repair it, then"
                " `mount -o remount,rw` it, or stop halond, unmount, fsck, mount, start halond"
            )
        for job in group:
            job.settle(failure)

    def _require_usable(self) -> None:
        """Nothing is put into damaged files, nor into ones without a name, where no restart finds it again."""
        if self._damage is not None:
            raise _GroupLostError(self._damage)
        if _identity(self.path) != self._file:
            raise _GroupLostError(StoreBusyOrFull(f"{self.path} is not there any more, or is another file"))

    def _run(self, job: _Job) -> None:
        """One function inside its own savepoint; its error is kept for its caller alone."""
        self._connection.execute("SAVEPOINT job")
        try:
            job.result = job.function(self._connection)
        except BaseException as error:  # carried over to the caller, who waits on the loop
            failure = classify(error, self.path) if isinstance(error, sqlite3.Error) else None
            if isinstance(failure, StoreCorrupt):
                raise _GroupLostError(failure) from error  # the others' work is not put into damaged files either
            if not self._connection.in_transaction:
                # A full disk or a failing device makes SQLite drop the whole transaction, the others' work with it.
                raise _GroupLostError(failure or StoreBusyOrFull(f"{self.path}: {error}")) from error
            job.error = failure or error
            self._connection.execute("ROLLBACK TO job")
        self._connection.execute("RELEASE job")


class _GroupLostError(Exception):
    """The whole transaction is lost: SQLite rolled it back under a function, or the file is not in its place."""

    def __init__(self, cause: StoreError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _tell(damaged: "asyncio.Future[StoreCorrupt]", failure: StoreCorrupt) -> None:
    if not damaged.done():
        damaged.set_result(failure)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at `path`; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

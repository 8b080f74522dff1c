"""One connection in a thread of its own: patience, transactions, recovery from every error."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import queue
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from mendloop.core.errors import StoreCorrupt, StoreReplaced
from mendloop.stores.sqlite_errors import BUSY, from_os, from_sqlite
from mendloop.stores.sqlite_file import open_file

__all__ = ["Session", "Worker"]

_T = TypeVar("_T")

_SHORTEST_PAUSE_SECONDS = 0.0005
_LONGEST_PAUSE_SECONDS = 0.008


class Worker:
    """
    Runs calls one after another in a thread of its own.

    Every call runs to its end, whatever becomes of its caller. The thread ends with the process,
    or after `stop`.
    """

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(self, job: Callable[[], _T]) -> _T:
        """Run *job* in the thread and hand back what it returns or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._jobs.put(partial(_answer, loop, future, job))
        return await future

    def stop(self, last: Callable[[], object]) -> None:
        """Let the thread end after the calls that wait, with *last*."""
        self._jobs.put(last)
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            # Until the next call comes, nothing of this one is kept alive.
            del job


def _answer(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[_T], job: Callable[[], _T]
) -> None:
    settle: Callable[[], None]
    try:
        settle = partial(_settle, future, future.set_result, job())
    except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
        settle = partial(_settle, future, future.set_exception, error)
    # Where the caller's loop is closed, nobody waits.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)


def _settle(future: asyncio.Future[_T], setter: Callable[[Any], None], outcome: object) -> None:
    if not future.cancelled():
        setter(outcome)


class Session:
    """
    The connection: opened when it is needed, never left in a transaction, usable after any error.

    Not for more than one thread.
    """

    def __init__(self, path: Path, busy_timeout_seconds: float, *, must_exist: bool) -> None:
        """
        Open nothing yet.

        Args:
            path: The store's file.
            busy_timeout_seconds: How long a call waits for other processes.
            must_exist: Make no file where there is none.
        """
        self._must_exist = must_exist
        self._path = Path(os.path.realpath(path))
        self._path_text = str(self._path)
        self._busy_timeout_seconds = busy_timeout_seconds
        self._random = random.Random()  # noqa: S311 - spreads waiters, guards nothing
        self._connection: apsw.Connection | None = None
        self._is_frozen = False
        self._is_committing = False
        self._identity = (0, 0)

    @property
    def path(self) -> Path:
        """The store's file, without symbolic links on the way."""
        return self._path

    def open(self) -> None:
        """Open and check the file; made first where there is none and it need not exist."""
        self._patiently(self._ready)

    def read(self, action: Callable[[apsw.Connection], _T]) -> _T:
        """Run *action*, which reads with a single statement or does not need one moment's view."""
        return self._patiently(lambda: action(self._ready()))

    def write(self, action: Callable[[apsw.Connection], _T]) -> _T:
        """Run *action* in a transaction that holds the write lock from before its first read."""
        return self._patiently(lambda: self._transact(action))

    def close(self) -> None:
        """Let go of the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)  # noqa: FBT003 - apsw names it force

    def _transact(self, action: Callable[[apsw.Connection], _T]) -> _T:
        connection = self._ready()
        connection.execute("BEGIN IMMEDIATE")
        result = action(connection)
        self._is_committing = True
        connection.execute("COMMIT")
        return result

    def _patiently(self, attempt: Callable[[], _T]) -> _T:
        deadline = 0.0
        for tries in itertools.count():
            try:
                return attempt()
            except BUSY as error:
                now = time.monotonic()
                deadline = deadline or now + self._busy_timeout_seconds
                if now >= deadline:
                    raise from_sqlite(error, self._path) from error
                self._abandon()
                time.sleep(self._pause_seconds(tries))
            except apsw.Error as error:
                os_errno = 0 if self._connection is None else self._connection.system_errno
                raise from_sqlite(
                    error, self._path, os_errno=os_errno, is_committing=self._is_committing
                ) from error
            except OSError as error:
                raise from_os(error, self._path) from error
            except (UnicodeDecodeError, msgspec.DecodeError) as error:
                raise StoreCorrupt(
                    f"{self._path}: a stored text is damaged; restore a copy"
                ) from error
            finally:
                self._abandon()
        raise AssertionError  # pragma: no cover - count() does not end

    def _pause_seconds(self, tries: int) -> float:
        # Short and uneven pauses: the lock is free for moments only, and no waiter must keep
        # missing them for being in step with the writer that holds it.
        longest = min(_SHORTEST_PAUSE_SECONDS * 2 ** min(tries, 10), _LONGEST_PAUSE_SECONDS)
        return self._random.uniform(_SHORTEST_PAUSE_SECONDS / 2, longest)

    def _ready(self) -> apsw.Connection:
        if self._connection is None:
            self._connection, self._is_frozen = open_file(self._path, must_exist=self._must_exist)
            self._identity = self._identify()
        elif self._identity != self._identify():
            raise StoreReplaced(
                f"{self._path} was removed or replaced while it was open:"
                " close the store, and open it again"
            )
        return self._connection

    def _identify(self) -> tuple[int, int]:
        try:
            status = os.stat(self._path_text)  # noqa: PTH116 - quicker, and on the way of every call
        except FileNotFoundError:
            return (0, 0)
        return status.st_dev, status.st_ino

    def _abandon(self) -> None:
        """Leave no transaction open, and no connection that cannot be trusted."""
        self._is_committing = False
        connection = self._connection
        if connection is None:
            return
        if connection.in_transaction:
            # SQLite may have rolled back by itself; the next lines look.
            with contextlib.suppress(apsw.Error):
                connection.execute("ROLLBACK")
        if connection.in_transaction or self._is_frozen:
            self.close()

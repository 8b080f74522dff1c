"""
One run in one work tree, whatever task and store it is for.

The lock is the kernel's: it goes with the process that holds it, and children do not inherit it.
What is written beside it tells others who holds the tree, and a successor what to end.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from mendloop.core.errors import RunError, WorkTreeBusy
from mendloop.core.run import Child, Holder
from mendloop.core.sifting import sifted
from mendloop.core.text import PATH_LIMIT_BYTES, clean, redact_secrets

__all__ = ["TreeUse", "WorkTreeLock"]

_RECORD_LIMIT_BYTES = 64 * 1024
_TURN_SECONDS = 2.0
_TURN_POLL_SECONDS = 0.005


class TreeUse(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who uses a work tree.

    Attributes:
        task_id: For which task.
        store: In which store that task is, for people.
        holder: Which process.
        since: From when on, on its clock.
        tree: The real path, for people.
        child: What it has started, or None.
    """

    task_id: str
    store: str
    holder: Holder
    since: datetime
    tree: str
    child: Child | None = None


class WorkTreeLock:
    """
    The right to be the only run in a work tree: a context manager.

    Two names of one folder are one work tree; a folder and one inside it are two. A clean exit
    leaves no record; after a crash the next holder finds it in `previous`.

    Attributes:
        previous: What a holder that did not leave cleanly has recorded, once the lock is held; None
            where there was none or its record is torn. Its child stays recorded until
            `record_child` is called, so that it is not forgotten if this run dies as well.
    """

    def __init__(
        self,
        tree: Path,
        *,
        lock_dir: Path,
        task_id: str,
        store: str,
        holder: Holder,
        since: datetime,
        fenced: str = "",
    ) -> None:
        """
        Prepare; entering the context takes the lock.

        Args:
            tree: The work tree, by any of its names.
            lock_dir: Where the locks of this user are; one folder for all stores.
            task_id: The task that it is for.
            store: The store of that task, as the user names it.
            holder: This process.
            since: Now.
            fenced: Token of a run that has lost its task to this one. It can begin nothing more, so
                where it still has the lock, because it is stopped, the lock is taken from it.

        Raises:
            RunError: There is no such folder.
        """
        try:
            real = tree.resolve(strict=True)
        except OSError as error:
            raise RunError(f"no such work tree: {tree}", task_id=task_id) from error
        self._use = TreeUse(
            task_id=task_id,
            store=clean(store, limit_bytes=PATH_LIMIT_BYTES),
            holder=holder,
            since=since,
            tree=clean(str(real), limit_bytes=PATH_LIMIT_BYTES),
        )
        self._path = lock_dir / f"{hashlib.sha256(os.fsencode(real)).hexdigest()}.lock"
        self._fenced = fenced
        self._handle = -1
        self.previous: TreeUse | None = None

    def __enter__(self) -> Self:
        """
        Take the lock, without waiting for it.

        Raises:
            WorkTreeBusy: Another run holds it.
            RunError: The lock's file cannot be made.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _turn(self._path.with_suffix(".turn")):
                self.previous = self._lock()
                # Until the caller has ended it, a third run must still learn of it.
                self._write_record(self.previous.child if self.previous else None)
        except BlockingIOError as error:
            raise self._busy(None) from error
        except OSError as error:
            self._close()
            raise RunError(
                f"cannot lock the work tree, in {self._path}: {error}", task_id=self._use.task_id
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the tree go and clear the record, unless it names a child that is still to be ended."""
        inherited = self.previous.child if self.previous else None
        if inherited is None or self._use.child is not inherited:
            os.ftruncate(self._handle, 0)
        self._close()

    def record_child(self, child: Child | None) -> None:
        """
        Write down what this run has started, before it may begin; None when it is gone.

        A reader after a crash of this process finds the old record or the new one. A power cut may
        lose both, but ends the child as well.

        Raises:
            RunError: The disk is full or the like; the child must not begin.
        """
        try:
            self._write_record(child)
        except OSError as error:
            raise RunError(
                f"cannot record the child in {self._path}: {error}", task_id=self._use.task_id
            ) from error

    def _lock(self) -> TreeUse | None:
        """
        Lock the file that has the name; returns what the last holder has recorded.

        Only who has the turn locks or unlinks a file, so that between a look and what follows from
        it nobody else gets the tree.
        """
        taken_from: TreeUse | None = None
        while not self._open_and_lock():
            use = _read_record(self._handle)
            self._close()
            if use is None or not self._fenced or use.holder.token != self._fenced:
                raise self._busy(use)
            taken_from = use
            # It keeps its lock, on a file that has no name any more.
            self._path.unlink()
        return _read_record(self._handle) or taken_from

    def _open_and_lock(self) -> bool:
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return _try_flock(self._handle)

    def _write_record(self, child: Child | None) -> None:
        self._use = msgspec.structs.replace(self._use, child=child)
        # The line end says where the record ends, whatever a longer one before it has left.
        record = msgspec.json.encode(sifted(self._use, redact_secrets)) + b"\n"
        os.pwrite(self._handle, record, 0)
        os.ftruncate(self._handle, len(record))

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def _busy(self, use: TreeUse | None) -> WorkTreeBusy:
        """The refusal that names who uses the tree."""
        if use is None:
            holder = "a run that has not said who it is"
        else:
            holder = (
                f"the run of task {use.task_id} (store {use.store}) by {use.holder.name}, "
                f"process {use.holder.pid}, since {use.since.isoformat(timespec='seconds')}"
            )
        return WorkTreeBusy(
            f"the work tree {self._use.tree} is held by {holder}",
            holder=holder,
            task_id=self._use.task_id,
        )


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """
    Let one process after another look at a lock and take it.

    Raises:
        BlockingIOError: Somebody has kept the turn for longer than it ever takes, stopped in it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _TURN_SECONDS
    try:
        while not _try_flock(handle):
            if time.monotonic() > deadline:
                raise BlockingIOError(errno.EWOULDBLOCK, "another run does not end its turn", path)
            time.sleep(_TURN_POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def _try_flock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_record(handle: int) -> TreeUse | None:
    line, is_whole, _ = os.pread(handle, _RECORD_LIMIT_BYTES, 0).partition(b"\n")
    if not is_whole:
        return None
    try:
        return msgspec.json.decode(line, type=TreeUse)
    except (ValueError, RecursionError):
        return None

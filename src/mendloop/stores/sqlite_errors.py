"""
What each of SQLite's errors means to a caller of the store: one table, and no other place.

https://sqlite.org/rescode.html says what the codes mean, https://rogerbinns.github.io/apsw/
which class carries which code.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import apsw

from mendloop.core.errors import (
    StateError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    ValidationError,
)

__all__ = ["BUSY", "MEANINGS", "from_os", "from_sqlite"]

BUSY = (apsw.BusyError, apsw.ProtocolError)
"""Somebody else holds a lock for now: nothing was done, and the same call may be made again."""

MEANINGS: Mapping[type[apsw.Error], type[StateError]] = {
    apsw.AbortError: StoreUnavailable,
    apsw.AuthError: StoreReadOnly,
    apsw.BindingsError: StoreError,
    apsw.BusyError: StoreUnavailable,
    apsw.CantOpenError: StoreUnavailable,
    apsw.ConnectionClosedError: StoreError,
    apsw.ConnectionNotClosedError: StoreError,
    apsw.ConstraintError: StoreCorrupt,  # no statement breaks one on a sound file
    apsw.CorruptError: StoreCorrupt,
    apsw.CursorClosedError: StoreError,
    apsw.EmptyError: StoreCorrupt,
    apsw.Error: StoreError,
    apsw.ExecTraceAbort: StoreError,
    apsw.ExecutionCompleteError: StoreError,
    apsw.ExtensionLoadingError: StoreError,
    apsw.ForkingViolationError: StoreError,
    apsw.FormatError: StoreCorrupt,
    apsw.FullError: StoreFull,
    apsw.IOError: StoreUnavailable,
    apsw.IncompleteExecutionError: StoreError,
    apsw.InternalError: StoreCorrupt,
    apsw.InterruptError: StoreUnavailable,
    apsw.InvalidContextError: StoreError,
    apsw.LockedError: StoreUnavailable,
    apsw.MismatchError: StoreCorrupt,
    apsw.MisuseError: StoreError,
    apsw.NoFTS5Error: StoreError,
    apsw.NoLFSError: StoreFull,  # the file is as large as this system can have it
    apsw.NoMemError: StoreUnavailable,
    apsw.NotADBError: StoreCorrupt,
    apsw.NotFoundError: StoreError,
    apsw.PermissionsError: StoreReadOnly,
    apsw.ProtocolError: StoreUnavailable,
    apsw.RangeError: StoreError,
    apsw.ReadOnlyError: StoreReadOnly,
    apsw.SQLError: StoreCorrupt,  # a statement that fits the layout does not fit this file
    apsw.SchemaChangeError: StoreCorrupt,
    apsw.ThreadingViolationError: StoreError,
    apsw.TooBigError: ValidationError,
    apsw.VFSFileClosedError: StoreError,
    apsw.VFSNotImplementedError: StoreError,
}

_ADVICE: Mapping[type[StateError], str] = {
    StoreCorrupt: "restore a copy, or move the file away together with its -wal and -shm files",
    StoreError: "this is a defect of mendloop: please report it",
    StoreFull: "make room, or raise the file-size limit, and try again",
    StoreReadOnly: "allow writing to the file and to its folder, or name another store",
    StoreUnavailable: "try again",
    ValidationError: "nothing was written",
}

_NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_PASSING = frozenset(
    {errno.EAGAIN, errno.EINTR, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
_DAMAGED_IO = frozenset({apsw.SQLITE_IOERR_CORRUPTFS, apsw.SQLITE_IOERR_DATA})
# A failing sync is not in here: what it did not sync may be on the disk all the same.
_GROWING_IO = frozenset(
    {
        apsw.SQLITE_IOERR_SHMMAP,
        apsw.SQLITE_IOERR_SHMOPEN,
        apsw.SQLITE_IOERR_SHMSIZE,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_WRITE,
    }
)


def from_sqlite(
    error: apsw.Error, path: Path, *, os_errno: int = 0, is_committing: bool = False
) -> StateError:
    """
    Say what *error* means to a caller.

    Args:
        path: The store's file, for the message.
        os_errno: What the system said, where SQLite kept it, or 0.
        is_committing: Whether a commit was under way, so that its outcome may not be known.
    """
    meaning = _refine(error, os_errno)
    reason = f" ({os.strerror(os_errno)})" if os_errno and _is_from_system(error) else ""
    message = f"{path}: {error}{reason}; {_ADVICE[meaning]}"
    if meaning is StoreUnavailable:
        has_outcome = isinstance(error, BUSY) or not is_committing
        return StoreUnavailable(message, maybe_stored=not has_outcome)
    return meaning(message)


def from_os(error: OSError, path: Path) -> StoreError:
    """Say what the failure of a system call beside SQLite means to a caller."""
    for codes, meaning in (
        (_NO_ROOM, StoreFull),
        (_DENIED, StoreReadOnly),
        (_PASSING, StoreUnavailable),
    ):
        if error.errno in codes:
            return meaning(f"{path}: {error.strerror}; {_ADVICE[meaning]}")
    return StoreError(f"{path}: {error.strerror}; name another file")


def _is_from_system(error: apsw.Error) -> bool:
    return isinstance(error, (apsw.IOError, apsw.CantOpenError))


def _refine(error: apsw.Error, os_errno: int) -> type[StateError]:
    code = getattr(error, "extendedresult", 0)
    if isinstance(error, apsw.IOError) and code in _DAMAGED_IO:
        return StoreCorrupt
    if isinstance(error, apsw.CantOpenError) or code in _GROWING_IO:
        if os_errno in _NO_ROOM:
            return StoreFull
        if os_errno in _DENIED:
            return StoreReadOnly
    return MEANINGS.get(type(error), StoreError)

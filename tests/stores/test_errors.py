"""Every error of the driver has a meaning, and the meaning is the right one."""

from __future__ import annotations

import errno
from pathlib import Path

import apsw
import pytest

from mendloop.core.errors import (
    StateError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from mendloop.stores.sqlite_errors import MEANINGS, from_os, from_sqlite

PATH = Path("/var/store.db")


def sqlite_error(code: int) -> apsw.Error:
    error = apsw.exception_for(code)
    assert isinstance(error, apsw.Error)
    return error


def test_every_driver_error_has_a_meaning() -> None:
    """A new version of the driver with an error that the table does not know fails here."""
    known = {
        member
        for member in vars(apsw).values()
        if isinstance(member, type) and issubclass(member, apsw.Error)
    }
    assert known == set(MEANINGS)


@pytest.mark.parametrize("error", MEANINGS, ids=lambda error: error.__name__)
def test_every_meaning_says_which_file_and_what_to_do(error: type[apsw.Error]) -> None:
    """Each translated error names the file and the way on."""
    translated = from_sqlite(error("reason"), PATH)
    assert isinstance(translated, MEANINGS[error])
    assert str(translated).startswith(f"{PATH}: reason; ")
    assert not str(translated).endswith("; ")


@pytest.mark.parametrize(
    ("code", "os_errno", "meaning"),
    [
        (apsw.SQLITE_BUSY, 0, StoreUnavailable),
        (apsw.SQLITE_CANTOPEN, errno.EACCES, StoreReadOnly),
        (apsw.SQLITE_CANTOPEN, errno.EMFILE, StoreUnavailable),
        (apsw.SQLITE_CANTOPEN, errno.ENOSPC, StoreFull),
        (apsw.SQLITE_CORRUPT, 0, StoreCorrupt),
        (apsw.SQLITE_FULL, 0, StoreFull),
        (apsw.SQLITE_IOERR_CORRUPTFS, 0, StoreCorrupt),
        (apsw.SQLITE_IOERR_FSYNC, errno.EIO, StoreUnavailable),
        (apsw.SQLITE_IOERR_FSYNC, errno.ENOSPC, StoreUnavailable),
        (apsw.SQLITE_IOERR_READ, errno.EIO, StoreUnavailable),
        (apsw.SQLITE_IOERR_SHMSIZE, errno.ENOSPC, StoreFull),
        (apsw.SQLITE_IOERR_WRITE, errno.EDQUOT, StoreFull),
        (apsw.SQLITE_IOERR_WRITE, errno.EFBIG, StoreFull),
        (apsw.SQLITE_IOERR_WRITE, errno.EIO, StoreUnavailable),
        (apsw.SQLITE_NOTADB, 0, StoreCorrupt),
        (apsw.SQLITE_READONLY, 0, StoreReadOnly),
    ],
)
def test_code_and_errno_decide_together(
    code: int, os_errno: int, meaning: type[StateError]
) -> None:
    """An I/O error that comes from a lack of room or of rights is told from the others."""
    assert meaning is type(from_sqlite(sqlite_error(code), PATH, os_errno=os_errno))


@pytest.mark.parametrize(
    ("code", "is_committing", "maybe_stored"),
    [
        (apsw.SQLITE_IOERR_FSYNC, True, True),
        (apsw.SQLITE_IOERR_WRITE, True, True),
        (apsw.SQLITE_IOERR_WRITE, False, False),
        (apsw.SQLITE_NOMEM, True, True),
        (apsw.SQLITE_BUSY, True, False),
        (apsw.SQLITE_BUSY, False, False),
    ],
)
def test_outcome_is_unknown_only_in_a_commit(
    code: int, is_committing: bool, maybe_stored: bool
) -> None:
    """Before the commit nothing can be stored; in a commit all but a lock leaves it open."""
    error = from_sqlite(sqlite_error(code), PATH, is_committing=is_committing)
    assert isinstance(error, StoreUnavailable)
    assert maybe_stored is error.maybe_stored


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EROFS, StoreReadOnly),
        (errno.EACCES, StoreReadOnly),
        (errno.EIO, StoreUnavailable),
        (errno.ENOTDIR, StoreError),
    ],
)
def test_system_errors_have_the_same_meanings(code: int, meaning: type[StoreError]) -> None:
    """What fails while a store is made is told apart as what fails later."""
    assert meaning is type(from_os(OSError(code, "reason"), PATH))

"""Locks that processes hold on files; the kernel frees them when their holder dies."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["FileLock"]


class FileLock:
    """A lock on a file, free at first; one may hold it alone, or several shared. The block's end frees it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")

    def __enter__(self) -> Self:
        """Do not take it yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free it, if it is ours."""
        self._file.close()

    def take(self, *, shared: bool = False) -> None:
        """Wait until the lock is ours."""
        fcntl.flock(self._file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)

    def try_to_take(self) -> bool:
        """Take the lock alone unless somebody else holds it; return whether it is ours."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def free(self) -> None:
        """Let others take it."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

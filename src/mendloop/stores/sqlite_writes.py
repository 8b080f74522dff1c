"""Writes that wait at the same time share one transaction: the disk is waited for once for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Generic, TypeVar, cast

import apsw

from mendloop.core.errors import StateError, StoreUnavailable
from mendloop.stores.sqlite_session import Session

__all__ = ["SharedWrites", "Write"]

_T = TypeVar("_T")

_MOST_IN_ONE = 32
"""A document has up to 1 MiB, and all of a transaction go through the log."""


class Write(Generic[_T]):
    """
    One write, and what became of it.

    Attributes:
        is_done: Whether that is known.
    """

    def __init__(self, action: Callable[[apsw.Connection], _T]) -> None:
        """Do nothing yet; *action* may be done anew in another transaction."""
        self._action = action
        self._answer: _T | None = None
        self._error: Exception | None = None
        self.is_done = False

    def result(self) -> _T:
        """
        What *action* has returned.

        Raises:
            StateError: It was refused, or the store was.
        """
        if self._error is not None:
            raise self._error
        return cast("_T", self._answer)

    def do_among_others(self, connection: apsw.Connection) -> None:
        """Do it in a transaction with others; where it is refused they are not touched."""
        self._error = None
        try:
            with connection:
                self._answer = self._action(connection)
        except StateError as error:
            self._error = error

    def do_alone(self, session: Session) -> None:
        """Do it in a transaction of its own."""
        try:
            self._answer = session.write(self._action)
        except Exception as error:  # noqa: BLE001 - it is raised where the caller waits
            self.fail(error)
        self.is_done = True

    def fail(self, error: Exception) -> None:
        """Know how it has ended: by *error*, which others may share."""
        self._error = copy(error)
        self.is_done = True


class SharedWrites:
    """The writes of one session. All but `add` runs in the session's thread."""

    def __init__(self, session: Session) -> None:
        """Begin with none."""
        self._session = session
        self._waiting: deque[Write[object]] = deque()

    def add(self, action: Callable[[apsw.Connection], _T]) -> Write[_T]:
        """Have *action* wait for the next transaction."""
        write = Write(action)
        self._waiting.append(cast("Write[object]", write))
        return write

    def settle(self, write: Write[_T]) -> _T:
        """
        Do what waits, *write* with it, unless that is done already; returns what came of it.

        They are done in the order of `add`, so who settles in that order too finds its own done.
        """
        if not write.is_done:
            count = min(len(self._waiting), _MOST_IN_ONE)
            self._do([self._waiting.popleft() for _ in range(count)])
        return write.result()

    def _do(self, writes: list[Write[object]]) -> None:
        if len(writes) == 1:
            writes[0].do_alone(self._session)
            return
        try:
            self._session.write(partial(_do_all, writes))
        except Exception as error:  # noqa: BLE001 - each caller is told of its own
            is_open = isinstance(error, StoreUnavailable) and error.maybe_stored
            for write in writes:
                # What one was refused for may have been another's write, which has not landed.
                if is_open:
                    write.fail(error)
                else:
                    write.do_alone(self._session)
        for write in writes:
            write.is_done = True


def _do_all(writes: list[Write[object]], connection: apsw.Connection) -> None:
    for write in writes:
        write.do_among_others(connection)

"""
A log line for each change, for whoever keeps what happened outside of the store.

The logger is ``mendloop.audit``, of the standard library: what becomes of its lines is the caller's.
They are no record: a process that is killed between a write and its line leaves none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from mendloop.core.logbook import Entry
from mendloop.core.model import Commit
from mendloop.core.records import Record, records_of
from mendloop.core.sifting import sifted
from mendloop.core.text import Redactor

__all__ = ["tell_commits", "tell_entry"]

_log = logging.getLogger("mendloop.audit")


def tell_commits(task_id: str, commits: Iterable[Commit], redact: Redactor) -> None:
    """
    Log a line for each change in *commits*, with all that its record says as ``extra``.

    Args:
        task_id: The task.
        commits: Those that are stored by now.
        redact: Takes secrets out of every text.
    """
    if _log.isEnabledFor(logging.INFO):
        for commit in commits:
            for record in records_of(task_id, commit):
                _tell(record, redact)


def tell_entry(entry: Entry, redact: Redactor) -> None:
    """Log a line for an entry in the log of removals and imports."""
    if _log.isEnabledFor(logging.INFO):
        _tell(entry, redact)


def _tell(told: Record | Entry, redact: Redactor) -> None:
    fields: dict[str, Any] = sifted(msgspec.to_builtins(told), redact)
    line = "%(task_id)s: %(do)s by %(by)s (%(door)s), commit %(from_commit)s -> %(to_commit)s"
    _log.info(line, fields, extra=fields)

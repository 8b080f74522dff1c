"""The records of a task as an auditor reads them: one for each change, with all that is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from mendloop.core.carrying import Instant
from mendloop.core.model import Commit

__all__ = ["Record", "records_of"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """
    One change of a task.

    A store tells which revision a write made only once it is made, so none can stand in the write
    itself: a record counts from commit to commit instead, which is the same in every store.

    Attributes:
        task_id: The task.
        from_commit: Number of the commit that it was decided on; 0 where there was no task.
        to_commit: Number of the commit that it is a part of.
        at: When it was decided.
        do: What was done.
        by: Who did it.
        door: Where it came in: "cli", "run", "library", "github", "feedback", "service", "cleanup",
            "repair", "restore", "import", or what a caller of the library named; "outside" where it
            came past all doors.
        op_id: The operation id.
        facts: What changed.
        result: What the caller was told.
        digest: Of the state after the commit.
        link: Of the commit, on the chain; "" where an older mendloop wrote it.
    """

    task_id: str
    from_commit: int
    to_commit: int
    at: Instant
    do: str
    by: str
    door: str
    op_id: str
    facts: dict[str, Any]
    result: dict[str, Any]
    digest: str
    link: str


def records_of(task_id: str, commit: Commit) -> Iterator[Record]:
    """Yield what *commit* did, in order."""
    for change in commit.changes:
        yield Record(
            task_id=task_id,
            from_commit=commit.number - 1,
            to_commit=commit.number,
            at=commit.at,
            do=change.do,
            by=change.by,
            door=change.door,
            op_id=change.op_id,
            facts=change.facts,
            result=change.result,
            digest=commit.digest,
            link=commit.link,
        )

"""Brings findings to one task, one after another, and seals them in between; each is told when it is there."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import UTC, datetime

from mendloop.core.errors import StateExists
from mendloop.core.model import FeedbackEntry, Settings
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite

TASK = "t"
_COMPRESS_EVERY = 40


def finding(number: int) -> FeedbackEntry:
    """One finding; every seventh is worse than the others."""
    return FeedbackEntry(
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        author="ann",
        severity=Severity.LOW if number % 7 else Severity.CRITICAL,
        issue_type=IssueType.BUG,
        description=f"finding {number} {'x' * (number % 50)}",
        resolved=False,
        pr_comment_id=f"c{number}",
    )


async def main(path: str, count: int) -> None:
    """Go on where the task is, up to *count* findings."""
    store = await open_sqlite(path)
    try:
        async with StateManager(store) as manager:
            with contextlib.suppress(StateExists):
                await manager.create_task(TASK, settings=Settings(max_iterations=10_000))
            for number in range(count):
                await manager.append_feedback(TASK, finding(number), op_id=f"op{number}")
                print(number, flush=True)  # noqa: T201 - the parent counts the lines
                if number % _COMPRESS_EVERY == _COMPRESS_EVERY - 1:
                    await manager.compress_feedback_history(TASK)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

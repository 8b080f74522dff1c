"""One process of several that work on one task of one file; prints what it saw as JSON Lines."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from histories import Event

from mendloop.core.model import FeedbackEntry
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite


async def main(path: str, who: int, count: int, kind: str) -> None:
    """Wait for a line on standard input, then ask *count* times."""
    store = await open_sqlite(Path(path))
    seen: list[Event] = []
    async with StateManager(store, by=f"racer{who}", door="test") as manager:
        print("ready", flush=True)  # noqa: T201 - the parent waits for it
        sys.stdin.readline()
        for turn in range(count):
            began = time.monotonic_ns()
            if kind == "append":
                await manager.append_feedback("t", _entry(f"{who}-{turn}"), op_id=f"{who}-{turn}")
                number = turn
            else:
                number = await manager.increment_iteration("t", op_id=f"{who}-{turn}")
            seen.append(Event(began, time.monotonic_ns(), number, who=who))
            if kind == "read" and turn % 3 == 0:
                began = time.monotonic_ns()
                number = await manager.get_current_iteration("t")
                seen.append(Event(began, time.monotonic_ns(), number, is_read=True, who=who))
    await store.close()
    sys.stdout.buffer.write(msgspec.json.Encoder().encode_lines(seen))


def _entry(comment_id: str) -> FeedbackEntry:
    return FeedbackEntry(
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        author="ann",
        severity=Severity.LOW,
        issue_type=IssueType.BUG,
        description=comment_id,
        resolved=False,
        pr_comment_id=comment_id,
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))

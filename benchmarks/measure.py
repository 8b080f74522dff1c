"""What both benchmarks measure, in rounds that take turns, and one line a figure."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from mendloop.core.model import FeedbackEntry, Settings
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.manager import StateManager

__all__ = ["ROUNDS", "alternate", "finding", "increments", "new_task", "report", "timed"]

ROUNDS = 7
LIMIT = 1_000_000


def report(what: str, ratio: float, aim: str, *, is_met: bool) -> None:
    """Print one figure beside its aim."""
    print(f"{what:66} {ratio:8.2f}  {aim}{'' if is_met else '   MISSED'}", flush=True)


async def timed(action: Callable[[], Awaitable[object]]) -> float:
    """Seconds that *action* takes."""
    started = time.perf_counter()
    await action()
    return time.perf_counter() - started


async def alternate(
    first: Callable[[], Awaitable[object]],
    second: Callable[[], Awaitable[object]],
    *,
    rounds: int = ROUNDS,
) -> tuple[float, float]:
    """Median seconds of both, measured in turns after one round to warm up."""
    await first()
    await second()
    pairs = [(await timed(first), await timed(second)) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


async def new_task(manager: StateManager, task_id: str) -> None:
    """Make a task that may be incremented for as long as the measurement lasts."""
    await manager.create_task(task_id, settings=Settings(max_iterations=LIMIT))


async def increments(manager: StateManager, task_id: str, count: int) -> None:
    """Increment *count* times, one after another."""
    for _ in range(count):
        await manager.increment_iteration(task_id)


def finding(number: int) -> FeedbackEntry:
    """One finding of common length."""
    return FeedbackEntry(
        timestamp=datetime.now(UTC),
        author="reviewer",
        severity=Severity.MEDIUM,
        issue_type=IssueType.BUG,
        description=f"Finding {number}: the return value of this call is not checked anywhere.",
        resolved=False,
        pr_comment_id=f"comment-{number}",
    )

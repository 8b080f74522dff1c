"""What both benchmarks measure with: rounds in turns, their medians, and one line a figure."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable

__all__ = ["ROUNDS", "alternate", "report", "timed"]

ROUNDS = 7


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

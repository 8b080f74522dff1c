"""Clocks that a test sets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from mendloop.clock import SystemClock

__all__ = ["BehindClock", "SteppedClock"]


class BehindClock(SystemClock):
    """The clock of a machine whose day is *seconds* behind; ahead of it where that is negative."""

    def __init__(self, seconds: float) -> None:
        self._behind = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() - self._behind


class SteppedClock:
    """Time that passes only when somebody sleeps; each look at the day moves it by a microsecond."""

    def __init__(self) -> None:
        self.slept_seconds: list[float] = []
        self._moved = asyncio.Event()
        self._day = datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic_seconds = 1000.0

    def now(self) -> datetime:
        self._day += timedelta(microseconds=1)
        return self._day

    def monotonic_seconds(self) -> float:
        return self._monotonic_seconds

    def pass_seconds(self, seconds: float) -> None:
        self._monotonic_seconds += seconds
        self._day += timedelta(seconds=seconds)

    async def until_slept(self, seconds: float) -> None:
        """Wait until others have slept so long in all."""
        while sum(self.slept_seconds) < seconds:
            self._moved.clear()
            await self._moved.wait()

    async def sleep(self, seconds: float) -> None:
        self.slept_seconds.append(seconds)
        self._moved.set()
        self.pass_seconds(seconds)
        await asyncio.sleep(0)

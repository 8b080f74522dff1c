"""The clock port: what time it is, how long something took, and how to wait."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "SteadyClock", "SystemClock", "boottime_seconds"]


def boottime_seconds() -> float:
    """Read the clock that counts from boot, suspended time included where the system can."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock(Protocol):
    """Time, as the manager and the loop see it; passed in, so that tests can set it."""

    def now(self) -> datetime:
        """The time of day, UTC."""

    def monotonic_seconds(self) -> float:
        """Seconds that never go back, for durations within this process."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class SteadyClock(SystemClock):
    """
    The clock of one run: set once, and moved only by time that passes.

    Setting the machine's clock neither ends nor prolongs the time budget of a run under way. What is
    stored is the time of day, so the next run's budget counts from that.
    """

    def __init__(self, began: datetime | None = None) -> None:
        """Begin at *began*; at this machine's time of day if not given."""
        self._began = began or datetime.now(UTC)
        self._boottime_seconds = boottime_seconds()

    def now(self) -> datetime:
        """The time of day, UTC, as it would be had nobody set it since."""
        return self._began + timedelta(seconds=boottime_seconds() - self._boottime_seconds)

"""The clock port: what time it is, how long something took, and how to wait."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


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

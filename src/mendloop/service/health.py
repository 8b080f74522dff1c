"""Whether the service lives, and whether it can take something in; each with the reason in words."""

from __future__ import annotations

import asyncio

from mendloop.clock import Clock
from mendloop.core.errors import StateError, StoreReplaced
from mendloop.core.names import HEAD
from mendloop.service.queue import DeliveryQueue
from mendloop.service.tasks import TaskWatch
from mendloop.stores.port import Store

__all__ = ["Health"]

_PROBE_SECONDS = 5.0
_PATIENCE_SECONDS = 4.0
_BEAT_SECONDS = 1.0
_SLOWEST_BEAT_SECONDS = 30.0


class Health:
    """
    What a probe is told.

    Attributes:
        is_stopping: Set once the service takes nothing in any more.
    """

    def __init__(
        self, store: Store, tasks: TaskWatch, queue: DeliveryQueue, *, clock: Clock
    ) -> None:
        """Know nothing of *store* yet: the service is alive, and not ready."""
        self._store = store
        self._tasks = tasks
        self._queue = queue
        self._clock = clock
        self._trouble = "the store was not reached yet"
        self._is_store_replaced = False
        self._beaten_seconds = clock.monotonic_seconds()
        self._workers: list[asyncio.Task[None]] = []
        self.is_stopping = False

    def depends_on(self, worker: asyncio.Task[None]) -> None:
        """Count the service as dead once *worker* has ended."""
        self._workers.append(worker)

    def liveness(self) -> str:
        """Why a restart is needed; "" where none is."""
        slow_seconds = self._clock.monotonic_seconds() - self._beaten_seconds
        if slow_seconds > _SLOWEST_BEAT_SECONDS:
            return f"the event loop has not turned for {slow_seconds:.0f} s"
        for worker in self._workers:
            if worker.done() and not self.is_stopping:
                return f"{worker.get_name()} has ended"
        return self._trouble if self._is_store_replaced else ""

    def readiness(self) -> str:
        """Why nothing should be sent here now; "" where it may be."""
        if self.is_stopping:
            return "the service is stopping"
        if self._trouble or self._queue.trouble:
            return self._trouble or self._queue.trouble
        if self._tasks.is_synced:
            return ""
        if self._tasks.trouble:
            return f"the tasks cannot be listed: {self._tasks.trouble}"
        return "the tasks have not been listed yet"

    async def beat(self) -> None:
        """Turn with the event loop until cancelled."""
        while True:
            self._beaten_seconds = self._clock.monotonic_seconds()
            await self._clock.sleep(_BEAT_SECONDS)

    async def probe(self) -> None:
        """Reach for the store again and again until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._store.list(HEAD, limit=1)
                    await self._queue.try_again()
            except StoreReplaced as error:
                self._trouble, self._is_store_replaced = str(error), True
            except TimeoutError:
                self._trouble = f"the store has not answered within {_PATIENCE_SECONDS:.0f} s"
            except StateError as error:
                self._trouble = str(error)
            else:
                self._trouble = ""
            await self._clock.sleep(_PROBE_SECONDS)

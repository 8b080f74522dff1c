"""One door of the service in this process, without the rest of a service around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mendloop.clock import SystemClock
from mendloop.manager import StateManager
from mendloop.service.health import Health
from mendloop.service.metrics import Metrics
from mendloop.service.queue import DeliveryQueue
from mendloop.service.server import Door, Listener, intake_app
from mendloop.service.tasks import TaskWatch
from mendloop.stores.port import Store

__all__ = ["open_door"]


@asynccontextmanager
async def open_door(store: Store, queue: DeliveryQueue, door: Door) -> AsyncIterator[str]:
    """The door alone, on an address of its own; its URL."""
    clock, metrics = SystemClock(), Metrics()
    async with StateManager(store) as manager:
        health = Health(store, TaskWatch(manager, clock, metrics.recovered), queue, clock=clock)
        listener = Listener(intake_app([door], metrics=metrics, health=health), "127.0.0.1", 0)
        await listener.start()
        yield f"http://127.0.0.1:{listener.port}{door.path}"
        await listener.close()
        await queue.close()

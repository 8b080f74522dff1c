from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest
from clocks import SteppedClock
from faulty_store import DOWN, FaultyStore
from patience import eventually
from served import Served

from mendloop.core.errors import StoreReplaced, StoreUnavailable
from mendloop.core.names import QUEUE
from mendloop.manager import StateManager
from mendloop.service.health import Health
from mendloop.service.metrics import Metrics
from mendloop.service.queue import DeliveryQueue
from mendloop.service.tasks import TaskWatch
from mendloop.stores.sqlite import open_sqlite


def test_a_stopped_process_answers_no_probe(tmp_path: Path) -> None:
    """One whose event loop stands still answers nothing, which a probe counts as dead, and then goes on."""
    served = Served(f"sqlite:{tmp_path / 'state.db'}", tmp_path / "service", {})
    try:
        replica = served.start()
        replica.wait_until_ready()
        replica.signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError), urlopen(f"{replica.admin}/healthz", timeout=1):  # noqa: S310 - loopback
            pass
        replica.signal(signal.SIGCONT)
        with urlopen(f"{replica.admin}/healthz", timeout=10) as answer:  # noqa: S310 - loopback
            assert {"status": "ok", "reason": ""} == json.load(answer)
    finally:
        served.end()
    assert [] == served.leaks()


async def test_a_slow_event_loop_needs_a_restart(tmp_path: Path) -> None:
    """It is dead where its event loop has not turned for half a minute, and says so in words."""
    store = await open_sqlite(tmp_path / "state.db")
    clock = SteppedClock()
    async with StateManager(store) as manager:
        tasks = TaskWatch(manager, clock, Metrics().recovered)
        health = Health(store, tasks, DeliveryQueue(store, store, clock=clock), clock=clock)
        clock.pass_seconds(30)
        assert "" == health.liveness()
        clock.pass_seconds(1)
        assert "the event loop has not turned for 31 s" == health.liveness()
        beating = asyncio.create_task(health.beat())
        await eventually(lambda: not health.liveness())
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
    await store.close()


class _OddStore(FaultyStore):
    """Fails each listing with `error`, if there is one."""

    error: Exception | None = None

    async def before(self, operation: str, _kind: str) -> None:
        if self.error is not None and operation == "list":
            raise self.error


async def test_what_is_not_ready_says_why(tmp_path: Path) -> None:
    """Nothing is to be sent before all tasks are seen, while nothing can be queued, nor once it stops."""
    store, clock = _OddStore(await open_sqlite(tmp_path / "state.db")), SteppedClock()
    async with StateManager(store) as manager:
        tasks = TaskWatch(manager, clock, Metrics().recovered)
        queue = DeliveryQueue(store, store, clock=clock)
        health = Health(store, tasks, queue, clock=clock)
        assert "the store was not reached yet" == health.readiness()
        probing = asyncio.create_task(health.probe())
        await eventually(lambda: "the tasks have not been listed yet" == health.readiness())
        watching = asyncio.create_task(tasks.run())
        await eventually(lambda: "" == health.readiness())
        store.choose = lambda _operation, kind: DOWN if kind == QUEUE else None
        with pytest.raises(StoreUnavailable):
            await queue.put("feedback", b"{}")
        assert "down" == health.readiness()
        store.choose = lambda _operation, _kind: None
        await eventually(lambda: "" == health.readiness())
        health.is_stopping = True
        assert "the service is stopping" == health.readiness()
        for running in (probing, watching):
            running.cancel()
        await asyncio.gather(probing, watching, return_exceptions=True)
    await store.close()


async def test_a_store_that_is_away_needs_no_restart_and_one_that_was_replaced_does(
    tmp_path: Path,
) -> None:
    """What is away comes back by itself; what is another one is not what this process has open."""
    store, clock = _OddStore(await open_sqlite(tmp_path / "state.db")), SteppedClock()
    async with StateManager(store) as manager:
        tasks = TaskWatch(manager, clock, Metrics().recovered)
        health = Health(store, tasks, DeliveryQueue(store, store, clock=clock), clock=clock)
        beating = asyncio.create_task(health.beat())
        probing = asyncio.create_task(health.probe())
        for error, liveness in (
            (StoreUnavailable("it is away"), ""),
            (StoreReplaced("it is another one"), "it is another one"),
        ):
            store.error = error
            await eventually(lambda error=error: str(error) == health.readiness())
            assert liveness == health.liveness()
        for running in (beating, probing):
            running.cancel()
        await asyncio.gather(beating, probing, return_exceptions=True)
    await store.close()

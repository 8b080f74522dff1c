from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest
from clocks import SteppedClock
from patience import eventually
from served import Served

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

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest
from cleanups import StubbornStore
from clocks import BehindClock
from faulty_store import FaultyStore
from patience import eventually
from served import Served, get_json

from mendloop.clock import SystemClock
from mendloop.manager import StateManager
from mendloop.service.assembly import Address, Service
from mendloop.service.housekeeping import Housekeeping
from mendloop.service.measured import MeasuredStore
from mendloop.service.metrics import Metrics
from mendloop.service.queue import QUEUE
from mendloop.service.settings import CleanupTable, Secrets, ServiceSettings
from mendloop.service.tasks import TaskWatch
from mendloop.stores.leases import StoredLeases
from mendloop.stores.port import Store
from mendloop.stores.sqlite import SqliteStore

_DAY_SECONDS = 86_400.0


class _OddStore(FaultyStore):
    """Fails in a way that nobody has thought of, where the queue is listed and `is_odd`."""

    is_odd = False

    async def before(self, operation: str, kind: str) -> None:
        if self.is_odd and (operation, kind) == ("list", QUEUE):
            raise ZeroDivisionError


@asynccontextmanager
async def _serving(store: FaultyStore) -> AsyncIterator[Service]:
    service = Service(
        store,
        StoredLeases(store, "lead"),
        Metrics(),
        name="a",
        clock=SystemClock(),
        settings=ServiceSettings(),
        secrets=Secrets(),
        intake=Address("127.0.0.1", 0),
        admin=Address("127.0.0.1", 0),
    )
    async with service.running():
        yield service


async def test_a_part_that_breaks_ends_the_service(file: SqliteStore) -> None:
    """Whatever ends one of its parts ends the service with that error, and a probe is told which part."""
    store = _OddStore(file)
    async with _serving(store) as service:
        await eventually(lambda: not service.health.readiness())
        store.is_odd = True
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(service.until_broken(), 20)
        assert "the look at the queue has ended" == service.health.liveness()
        async with aiohttp.request(
            "GET", f"http://127.0.0.1:{service.admin.port}/healthz"
        ) as answer:
            assert 503 == answer.status
    assert not (await file.list("lease")).documents[0].body.count(b'"holder":"a"')


def _housekeeping(
    manager: StateManager, store: Store, metrics: Metrics, **cleanup: str
) -> Housekeeping:
    clock = SystemClock()
    return Housekeeping(
        manager,
        MeasuredStore(store, metrics, at_once=4),
        TaskWatch(manager, clock, metrics.recovered),
        name="a",
        metrics=metrics,
        clock=clock,
        settings=ServiceSettings(cleanup=CleanupTable(**cleanup)),
    )


async def test_what_fails_of_the_housekeeping_holds_up_nothing_else(file: SqliteStore) -> None:
    """Tasks are cleaned up, once and again, though what is stored cannot be counted."""
    store = _OddStore(file)
    store.is_odd = True
    metrics = Metrics()
    async with StateManager(file, clock=BehindClock(2 * _DAY_SECONDS)) as past:
        for task_id in ("1", "2"):
            await past.create_task(task_id)
            await past.stop(task_id, reason="over")
        async with StateManager(store) as manager:
            house = _housekeeping(manager, store, metrics, interval="0.5s", retention="1d")
            running = asyncio.create_task(house.run())
            deleted = metrics.cleaned.labels("soft_deleted")._value
            found = metrics.cleaned.labels("found")._value
            await eventually(lambda: found.get() >= 4)
            assert 2 == deleted.get()
            assert not running.done()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_cleanup_that_leaves_something_has_not_succeeded(file: SqliteStore) -> None:
    """It counts as one that fails until one leaves nothing, which is then told as the last success."""
    store = StubbornStore(file, stubborn="task-t-")
    metrics = Metrics()
    failing, succeeded = metrics.cleanup_failing._value, metrics.cleanup_success._value
    async with StateManager(file, clock=BehindClock(2 * _DAY_SECONDS)) as past:
        await past.create_task("t")
        await past.stop("t", reason="over")
        await past.delete("t", reason="over")
    async with StateManager(store) as manager:
        house = _housekeeping(manager, store, metrics, interval="0.2s", grace="1d")
        running = asyncio.create_task(house.run())
        await eventually(lambda: failing.get() >= 3)
        assert (0, 0) == (succeeded.get(), metrics.cleaned.labels("removed")._value.get())
        store.stubborn = ""
        await eventually(lambda: succeeded.get() > 0)
        assert 0 == failing.get()
        assert 1 == metrics.cleaned.labels("removed")._value.get()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert 0 == succeeded.get()


async def test_no_answer_tells_what_runs_here(served: Served) -> None:
    """No answer, of the doors or of the probes, names the server's software and its version."""
    replica = served.start()
    replica.wait_until_ready()
    async with aiohttp.ClientSession() as session:
        for url, status in (
            (f"{replica.intake}/v1/github", 401),
            (f"{replica.intake}/v1/feedback", 401),
            (f"{replica.intake}/nowhere", 404),
            (f"{replica.admin}/nowhere", 404),
        ):
            async with session.post(url, data=b"{}") as answer:
                assert (status, None) == (answer.status, answer.headers.get("Server")), url
        for path in ("healthz", "readyz", "metrics"):
            async with session.get(f"{replica.admin}/{path}") as answer:
                assert (200, None) == (answer.status, answer.headers.get("Server")), path


def test_senders_who_never_finish_shut_nobody_out_of_the_probes(served: Served) -> None:
    """More connections than one address takes are ended at once; the other address answers."""
    replica = served.start()
    replica.wait_until_ready()
    address = urlsplit(replica.intake)
    assert address.hostname is not None
    assert address.port is not None
    with contextlib.ExitStack() as stack:
        held = [
            stack.enter_context(socket.create_connection((address.hostname, address.port)))
            for _ in range(500)
        ]
        for connection in held:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"POST /v1/feedback HTTP/1.1\r\nHost: x\r\n")
        assert 200 == get_json(f"{replica.admin}/readyz")[0]
        ended = sum(map(_is_ended, held))
        assert 100 < ended < 200
    finding = {"severity": "High", "issue_type": "Bug", "description": "an empty name fails"}
    body = {"task_id": "1", "findings": [finding]}
    assert 202 == served.post(replica, body)[0]


def test_what_is_no_http_is_told_in_a_line(served: Served) -> None:
    """A stranger's garbage is answered 400, and logged without a traceback or the rank of an error."""
    replica = served.start()
    replica.wait_until_ready()
    address = urlsplit(replica.intake)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        assert b"400" in connection.recv(1000)
    (told,) = (event for event in replica.log() if event["logger"].endswith("server.http"))
    assert "info" == told["level"].lower()
    assert "exception" not in told


def _is_ended(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True

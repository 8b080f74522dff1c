"""The proxy does to a request what a test asked for, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import ssl
import threading
import time
from typing import Any

import fault_proxy as faults
import pytest
from fault_proxy import Fault, FaultProxy, StreamFault
from patience import eventually

from controlplane import APIError, Cluster, ControlPlane

PATIENCE_SECONDS = 20


@pytest.fixture
def path(namespace: str) -> str:
    """Where the test's ConfigMaps are."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


async def create(proxy: FaultProxy, path: str, name: str = "a") -> Any:
    body = {"metadata": {"name": name}}
    return await asyncio.to_thread(proxy.cluster.request, "POST", path, body)


def is_stored(cluster: Cluster, path: str, name: str = "a") -> bool:
    return name in [item["metadata"]["name"] for item in cluster.request("GET", path)["items"]]


class Connection:
    """One connection of a client to the API server, through the proxy."""

    def __init__(self, cluster: Cluster, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        trust = ssl.create_default_context(cafile=str(cluster.ca_file))
        self._http = http.client.HTTPSConnection(
            "127.0.0.1", cluster.port, context=trust, timeout=timeout_seconds
        )
        self._headers = {"Authorization": f"Bearer {cluster.admin_token}"}

    def ask(self, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
        content = None if body is None else json.dumps(body)
        headers = self._headers | {"Content-Type": "application/json"}
        self._http.request(method, path, content, headers)
        return self._http.getresponse()

    def close(self) -> None:
        self._http.close()


class Watcher:
    """Reads a watch in a thread, until it ends."""

    def __init__(self, cluster: Cluster, path: str) -> None:
        self.events: list[dict[str, Any]] = []
        self.end: Exception | str = ""
        self._connection = Connection(cluster, timeout_seconds=60)
        self._path = f"{path}?watch=1"
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def names(self) -> set[str]:
        """Of the objects that it was told of."""
        return {e["object"]["metadata"]["name"] for e in self.events if e["type"] != "ERROR"}

    def _read(self) -> None:
        try:
            answer = self._connection.ask("GET", self._path)
            line = b""
            while part := answer.read1():
                *lines, line = (line + part).split(b"\n")
                self.events += map(json.loads, lines)
            self.end = "orderly"
        except (OSError, http.client.HTTPException) as error:
            self.end = error
        finally:
            self._connection.close()


async def test_requests_are_forwarded_and_counted(
    control_plane: Cluster, proxy: FaultProxy, path: str
) -> None:
    """Without a fault the answers are the API server's, and each request is counted by its verb."""
    created = await create(proxy, path)
    for method, target in (
        ("GET", f"{path}/a"),
        ("GET", f"{path}?limit=5"),
        ("PATCH", f"{path}/a?fieldManager=t"),
        ("DELETE", f"{path}/a"),
        ("GET", "/api/v1/namespaces/default"),
        ("GET", "/version"),
    ):
        body = {"apiVersion": "v1", "kind": "ConfigMap"} if method == "PATCH" else None
        answer = await asyncio.to_thread(proxy.cluster.request, method, target, body)
        if target == f"{path}/a":
            assert created == answer or method != "GET"

    told = [(e.request.verb, e.request.resource, e.status) for e in proxy.exchanges]
    assert [
        ("create", "configmaps", 201),
        ("get", "configmaps", 200),
        ("list", "configmaps", 200),
        ("patch", "configmaps", 200),
        ("delete", "configmaps", 200),
        ("get", "namespaces", 200),
        ("get", "", 200),
    ] == told
    assert 7 == proxy.connections
    assert 1 == proxy.count("list")
    assert 5 == proxy.count(resource="configmaps")


async def test_a_connection_carries_many_requests(proxy: FaultProxy, path: str) -> None:
    """A client that keeps its connection gets one answer after another on it, large ones too."""

    def ask() -> list[int]:
        connection = Connection(proxy.cluster)
        large = {"metadata": {"name": "large"}, "data": {"x": "x" * 900_000}}
        sizes = [len(connection.ask("POST", path, large).read())]
        sizes += [len(connection.ask("GET", f"{path}/large").read()) for _ in range(3)]
        connection.close()
        return sizes

    sizes = await asyncio.to_thread(ask)

    assert min(sizes) > 900_000
    assert 4 == len(proxy.exchanges)
    assert 1 == proxy.connections


@pytest.mark.parametrize(
    ("fault", "stored"),
    [
        (faults.RESET_BEFORE_REQUEST, {False}),
        (faults.RESET_AFTER_REQUEST, {False, True}),
        (faults.LOST_ANSWER, {True}),
        (faults.CUT_ANSWER, {True}),
        (faults.SILENCE, {True}),
    ],
    ids=["reset before", "reset after", "lost answer", "cut answer", "silence"],
)
async def test_a_broken_connection_tells_nothing_about_what_is_stored(
    control_plane: Cluster, proxy: FaultProxy, path: str, fault: Fault, stored: set[bool]
) -> None:
    """The client has no answer; whether the API server has the object depends on the fault."""
    proxy.choose = faults.always(fault)

    def ask() -> Exception | None:
        connection = Connection(proxy.cluster, timeout_seconds=1)
        try:
            connection.ask("POST", path, {"metadata": {"name": "a"}}).read()
        except (OSError, http.client.HTTPException) as error:
            return error
        finally:
            connection.close()
        return None

    error = await asyncio.to_thread(ask)

    assert error is not None
    expected: dict[Fault, type[Exception]] = {
        faults.SILENCE: TimeoutError,
        faults.CUT_ANSWER: http.client.IncompleteRead,
    }
    assert isinstance(error, expected.get(fault, ConnectionError))
    assert is_stored(control_plane, path) in stored
    proxy.choose = faults.never
    assert "kube-system" in str(
        await asyncio.to_thread(proxy.cluster.request, "GET", "/api/v1/namespaces")
    )


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "retry_after", "is_done"),
    [
        (faults.THROTTLED, 429, "text/plain; charset=utf-8", "1", False),
        (faults.BUSY, 500, "application/json", "1", False),
        (faults.INTERNAL_ERROR, 500, "application/json", None, False),
        (faults.UNAVAILABLE, 503, "text/plain; charset=utf-8", None, False),
        (faults.TIMED_OUT, 504, "application/json", "1", False),
        (faults.STORED_BUT_TIMED_OUT, 504, "application/json", "1", True),
        (faults.gone(), 410, "application/json", None, False),
    ],
    ids=["429", "500 busy", "500", "503", "504", "504 but stored", "410"],
)
async def test_an_error_is_answered_in_place_of_the_server(
    control_plane: Cluster,
    proxy: FaultProxy,
    path: str,
    fault: Fault,
    *,
    status: int,
    content_type: str,
    retry_after: str | None,
    is_done: bool,
) -> None:
    """Status, type and header are those of a real server, and the same connection goes on."""
    proxy.choose = faults.in_turn([fault])

    def ask() -> tuple[int, str | None, str | None, bytes, int]:
        connection = Connection(proxy.cluster)
        answer = connection.ask("POST", path, {"metadata": {"name": "a"}})
        body = answer.read()
        after = connection.ask("GET", "/version")
        after.read()
        connection.close()
        headers = answer.headers
        return answer.status, headers["Content-Type"], headers["Retry-After"], body, after.status

    told = await asyncio.to_thread(ask)

    assert (status, content_type, retry_after) == told[:3]
    assert 200 == told[4]
    assert 1 == proxy.connections
    assert is_done == is_stored(control_plane, path)
    if content_type == "application/json":
        body = json.loads(told[3])
        assert status == body["code"]
        assert retry_after in {None, str(body.get("details", {}).get("retryAfterSeconds"))}


async def test_late_and_slow_answers_are_whole(proxy: FaultProxy, path: str) -> None:
    """A delayed request is answered late, a dripping answer takes as long as its size says."""
    proxy.choose = faults.in_turn([faults.delayed(0.5), Fault(drip_bytes_per_second=1000)])
    began = time.monotonic()
    await create(proxy, path)
    between = time.monotonic()
    created = await create(proxy, path, "b")
    ended = time.monotonic()

    assert between - began >= 0.5
    assert "b" == created["metadata"]["name"]
    assert ended - between >= len(json.dumps(created)) / 1000 - 0.2


async def status_of(proxy: FaultProxy, method: str, path: str, body: object = None) -> int:
    with contextlib.suppress(APIError):
        await asyncio.to_thread(proxy.cluster.request, method, path, body)
    return proxy.exchanges[-1].status


async def test_rules_choose_the_request(proxy: FaultProxy, path: str) -> None:
    """By verb, by path, by turn; what no rule means is left alone."""
    proxy.choose = faults.first_of(
        faults.in_turn([None, faults.UNAVAILABLE], path="/configmaps"),
        faults.always(faults.THROTTLED, verbs={"list"}, path=r"limit=1$"),
    )

    statuses = [
        await status_of(proxy, "POST", path, {"metadata": {"name": "a"}}),
        await status_of(proxy, "GET", f"{path}/a"),
        await status_of(proxy, "POST", path, {"metadata": {"name": "b"}}),
        await status_of(proxy, "POST", path, {"metadata": {"name": "c"}}),
        await status_of(proxy, "GET", f"{path}?limit=1"),
        await status_of(proxy, "GET", f"{path}?limit=2"),
    ]

    assert [201, 200, 503, 201, 429, 200] == statuses


async def test_chance_is_the_same_for_the_same_seed(proxy: FaultProxy, path: str) -> None:
    """A random script gives one sequence of requests the same faults each time."""
    told = []
    for seed in (1, 1, 2):
        proxy.choose = faults.at_random(
            (faults.UNAVAILABLE, faults.THROTTLED), rate=0.5, seed=seed, verbs={"get"}
        )
        told.append([await status_of(proxy, "GET", "/version") for _ in range(20)])

    assert told[0] == told[1] != told[2]
    assert {200, 429, 503} == set(told[0])


async def test_an_outage_refuses_and_ends(proxy: FaultProxy) -> None:
    """During an outage nobody listens, running watches included; after it the address is the same."""
    url = proxy.cluster.url
    watcher = Watcher(proxy.cluster, "/api/v1/namespaces")
    await eventually(lambda: proxy.watches == 1)
    async with proxy.outage():
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(proxy.cluster.request, "GET", "/version")
        await eventually(lambda: bool(watcher.end))

    assert isinstance(watcher.end, Exception)
    assert 200 == await status_of(proxy, "GET", "/version")
    assert url == proxy.cluster.url


async def test_a_standstill_holds_what_was_asked(proxy: FaultProxy) -> None:
    """During a standstill connections are taken and nothing is answered; then all are answered."""
    async with proxy.standstill():
        asking = asyncio.create_task(status_of(proxy, "GET", "/version"))
        await eventually(lambda: len(proxy.exchanges) == 1)
        await asyncio.sleep(0.3)
        assert not asking.done()

    assert 200 == await asking


async def test_a_killed_server_resets_and_comes_back(own_control_plane: ControlPlane) -> None:
    """Without a server behind it the proxy resets; a new one behind the same address is found."""
    async with FaultProxy(own_control_plane) as proxy:
        assert 200 == await status_of(proxy, "GET", "/version")
        own_control_plane.apiserver.kill()
        with pytest.raises(ConnectionError):
            await asyncio.to_thread(proxy.cluster.request, "GET", "/version")
        await asyncio.to_thread(own_control_plane.apiserver.start)
        assert 200 == await status_of(proxy, "GET", "/version")


@pytest.mark.parametrize("is_scripted", [True, False], ids=["after an event", "at once"])
@pytest.mark.parametrize("fault", StreamFault)
async def test_a_watch_goes_wrong(
    control_plane: Cluster, proxy: FaultProxy, path: str, fault: StreamFault, *, is_scripted: bool
) -> None:
    """By a script after so many events, or at once when a test says so, in each of the four ways."""
    if is_scripted:
        proxy.choose = faults.always(
            faults.spoiled(fault, after_events=2), verbs={"watch"}, path="/configmaps"
        )
    control_plane.request("POST", path, {"metadata": {"name": "a"}})
    watcher = Watcher(proxy.cluster, path)
    # The controller manager puts one object into each namespace, sooner or later.
    await eventually(lambda: {"a", "kube-root-ca.crt"} <= watcher.names())
    if not is_scripted:
        proxy.spoil_watches(fault)
    for name in "bcd":
        control_plane.request("POST", path, {"metadata": {"name": name}})
    if fault is StreamFault.SILENCE:
        await asyncio.sleep(0.5)
        assert "" == watcher.end
        assert 1 == proxy.watches
        async with proxy.outage():
            await eventually(lambda: bool(watcher.end))
    else:
        await eventually(lambda: bool(watcher.end))

    await eventually(lambda: proxy.watches == 0)
    is_orderly = fault in {StreamFault.END, StreamFault.EXPIRE}
    assert is_orderly == (watcher.end == "orderly")
    errors = [e["object"] for e in watcher.events if e["type"] == "ERROR"]
    assert [410] * (fault is StreamFault.EXPIRE) == [error["code"] for error in errors]
    assert 2 == len(watcher.events) - len(errors)


async def test_a_watch_is_told_that_its_version_is_gone(proxy: FaultProxy, path: str) -> None:
    """The other way of a 410: as the status of the answer."""
    proxy.choose = faults.in_turn([faults.gone()], verbs={"watch"})
    watcher = Watcher(proxy.cluster, path)
    await eventually(lambda: bool(watcher.end))

    assert 410 == proxy.exchanges[-1].status
    assert [] == watcher.events


async def test_a_client_that_goes_ends_its_watch(
    control_plane: Cluster, proxy: FaultProxy, path: str
) -> None:
    """Nothing is left of a watch whose client has gone, on either side."""
    watcher = Watcher(proxy.cluster, path)
    await eventually(lambda: proxy.watches == 1)
    connection = watcher._connection._http.sock
    assert connection is not None
    connection.shutdown(2)

    await eventually(lambda: proxy.watches == 0)

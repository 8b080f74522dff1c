"""Watches through everything that can happen to a stream: nothing missed, and no busy loop."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fault_proxy as faults
import pytest
from fault_proxy import Fault, FaultProxy, StreamFault
from kube_client import CONFIGMAPS, OpenApi

from controlplane import Cluster, ControlPlane
from mendloop.core.errors import AccessError, NotPermitted
from mendloop.kube.api import Api
from mendloop.kube.watch import Gone, ListBegun, ListDone, Present, WatchEvent, watch

Make = Callable[..., bytes]

PATIENCE_SECONDS = 30


class Mirror:
    """What a watch has told so far."""

    def __init__(self, api: Api, **options: Any) -> None:
        self.events: list[WatchEvent] = []
        self.versions: dict[str, int] = {}
        self._listed: set[str] = set()
        self._moved = asyncio.Condition()
        self._task = asyncio.create_task(self._follow(api, options))

    async def _follow(self, api: Api, options: dict[str, Any]) -> None:
        async with aclosing(watch(api, CONFIGMAPS, "l=1", **options)) as events:
            async for event in events:
                self._take(event)
                async with self._moved:
                    self._moved.notify_all()

    def _take(self, event: WatchEvent) -> None:
        self.events.append(event)
        match event:
            case ListBegun(_, is_behind):
                self._listed = set()
                if is_behind:
                    self.versions.clear()
            case ListDone():
                self.versions = {n: v for n, v in self.versions.items() if n in self._listed}
            case Present(name, _, version, _):
                self._listed.add(name)
                self.versions[name] = max(version, self.versions.get(name, 0))
            case Gone(name):
                self.versions.pop(name, None)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._moved:
            while not is_so():
                failing = asyncio.create_task(self._moved.wait())
                await asyncio.wait([failing, self._task], return_when=asyncio.FIRST_COMPLETED)
                if self._task.done():
                    self._task.result()

    async def until_equal(self, names: dict[str, int]) -> None:
        await self.until(lambda: self.versions == names)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def count(self, kind: type[WatchEvent]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - the proxy tells nobody
            await asyncio.sleep(0.02)


Watch = Callable[..., Mirror]


@pytest.fixture
async def start(api: Api) -> AsyncIterator[Watch]:
    """Watch, until the test ends."""
    mirrors: list[Mirror] = []

    def begin(**options: Any) -> Mirror:
        mirrors.append(Mirror(api, **options))
        return mirrors[-1]

    yield begin
    for mirror in mirrors:
        await mirror.close()


class Writer:
    """Writes past the proxy, and knows what is there."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.there: dict[str, int] = {}
        self._cluster = cluster
        self._base = f"/api/v1/namespaces/{namespace}/configmaps"

    async def put(self, name: str, text: str = "1") -> None:
        body = {"metadata": {"name": name, "labels": {"l": "1"}}, "data": {"f": text}}
        whole = {"apiVersion": "v1", "kind": "ConfigMap"} | body
        path = f"{self._base}/{name}?fieldManager=w&force=true"
        stored = await asyncio.to_thread(self._cluster.request, "PATCH", path, whole)
        self.there[name] = int(stored["metadata"]["resourceVersion"])

    async def remove(self, name: str) -> None:
        await asyncio.to_thread(self._cluster.request, "DELETE", f"{self._base}/{name}")
        del self.there[name]


@pytest.fixture
def writer(control_plane: Cluster, namespace: str) -> Writer:
    """Somebody else who writes in the namespace."""
    return Writer(control_plane, namespace)


async def test_all_is_listed_and_then_followed(start: Watch, writer: Writer) -> None:
    """What is there comes between the marks of a list; changes and removals follow."""
    await writer.put("a")
    await writer.put("b")
    mirror = start()
    await mirror.until_equal(writer.there)
    kinds = [type(event) for event in mirror.events]
    assert [ListBegun, Present, Present, ListDone] == kinds
    await writer.put("a", "2")
    await writer.remove("b")
    await writer.put("c")
    await mirror.until_equal(writer.there)
    assert [Present, Gone, Present] == [type(event) for event in mirror.events[4:]]
    changed = mirror.events[4]
    assert isinstance(changed, Present)
    assert {"f": "2"} == json.loads(changed.raw)["data"]


async def test_long_lists_come_in_pages(
    start: Watch, api: Api, make: Make, proxy: FaultProxy
) -> None:
    """More objects than a page holds are one list."""
    await asyncio.gather(*(api.create(CONFIGMAPS, make(f"c{n:04}")) for n in range(600)))
    mirror = start()
    await mirror.until(lambda: mirror.count(ListDone) == 1)
    assert (600, 1) == (len(mirror.versions), mirror.count(ListBegun))
    assert 3 == proxy.count("list")


@pytest.mark.parametrize("stream", [StreamFault.CUT, StreamFault.END])
async def test_stream_that_ends_goes_on_where_it_was(
    start: Watch, writer: Writer, proxy: FaultProxy, stream: StreamFault
) -> None:
    """After a break at any moment nothing is missed, and nothing is listed anew."""
    mirror = start()
    await mirror.until(lambda: mirror.count(ListDone) == 1)
    for number in range(6):
        await writer.put(f"a{number % 2}", str(number))
        if number % 2:
            await writer.remove("a0")
        proxy.spoil_watches(stream)
        await writer.put("b", str(number))
    await mirror.until_equal(writer.there)
    assert 1 == proxy.count("list")
    assert proxy.count("watch") >= 2


@pytest.mark.parametrize("way", ["event", "status"])
async def test_expired_version_is_listed_anew_once(
    start: Watch, writer: Writer, proxy: FaultProxy, way: str
) -> None:
    """A 410, as an event in the stream or as the status, costs one list, and what was missed shows."""
    await writer.put("a")
    await writer.put("b")
    mirror = start()
    await mirror.until_equal(writer.there)
    await eventually(lambda: proxy.watches == 1)
    if way == "status":
        proxy.choose = faults.in_turn([faults.gone()], verbs=["watch"])
        proxy.spoil_watches(StreamFault.CUT)
    else:
        proxy.spoil_watches(StreamFault.EXPIRE)
    await writer.remove("a")
    await writer.put("c")
    await mirror.until_equal(writer.there)
    await asyncio.sleep(1)
    assert 2 == proxy.count("list")


async def test_version_that_keeps_expiring_is_no_busy_loop(
    start: Watch, writer: Writer, proxy: FaultProxy
) -> None:
    """Where every watch ends in a 410, lists come ever more slowly."""
    proxy.choose = faults.always(faults.gone(), verbs=["watch"])
    mirror = start()
    await asyncio.sleep(6)
    assert 3 <= proxy.count("list") <= 9
    proxy.choose = faults.never
    await writer.put("a")
    await mirror.until_equal(writer.there)


@pytest.mark.parametrize("after_events", [0, 1])
async def test_silent_stream_is_given_up(
    start: Watch, writer: Writer, proxy: FaultProxy, after_events: int
) -> None:
    """A stream that brings neither change nor bookmark for its time is replaced by another."""
    silent = faults.spoiled(StreamFault.SILENCE, after_events=after_events)
    proxy.choose = faults.in_turn([silent], verbs=["watch"])
    mirror = start(silence_seconds=1)
    await mirror.until(lambda: mirror.count(ListDone) == 1)
    for number in range(3):
        await writer.put(f"a{number}")
    await mirror.until_equal(writer.there)
    assert proxy.count("watch") >= 2
    assert (1 if after_events else 2) == proxy.count("list")


async def test_outage_is_sat_out(start: Watch, writer: Writer, proxy: FaultProxy) -> None:
    """While nobody listens there are few tries; afterwards the watch goes on, with no new list."""
    mirror = start()
    await mirror.until(lambda: mirror.count(ListDone) == 1)
    async with proxy.outage():
        await writer.put("a")
        await asyncio.sleep(4)
    async with asyncio.timeout(10):
        await mirror.until_equal(writer.there)
    assert 1 == proxy.count("list")


@pytest.mark.parametrize(
    "fault", [faults.THROTTLED, faults.UNAVAILABLE, faults.INTERNAL_ERROR, faults.LOST_ANSWER]
)
async def test_failing_server_is_asked_ever_more_rarely(
    start: Watch, writer: Writer, proxy: FaultProxy, fault: Fault
) -> None:
    """Whatever the server says to lists and watches, it is asked at most twice a second for long."""
    proxy.choose = faults.always(fault, verbs=["list", "watch"])
    mirror = start()
    await asyncio.sleep(5)
    assert 2 <= len(proxy.exchanges) <= 12
    proxy.choose = faults.never
    await writer.put("a")
    await mirror.until_equal(writer.there)


async def test_stream_that_ends_at_once_is_no_busy_loop(
    start: Watch, writer: Writer, proxy: FaultProxy
) -> None:
    """A server that ends every watch as soon as it began is asked ever more rarely."""
    proxy.choose = faults.always(faults.spoiled(StreamFault.END), verbs=["watch"])
    mirror = start()
    await asyncio.sleep(5)
    assert 2 <= proxy.count("watch") <= 12
    proxy.choose = faults.never
    await writer.put("a")
    await mirror.until_equal(writer.there)


async def test_event_of_many_megabytes_comes_through(start: Watch, writer: Writer) -> None:
    """A full object that the server escapes to six times its size is one event like any other."""
    mirror = start()
    await mirror.until(lambda: mirror.count(ListDone) == 1)
    await writer.put("a", "<" * 1_000_000)
    await writer.put("b")
    await mirror.until_equal(writer.there)
    large = next(e for e in mirror.events if isinstance(e, Present) and e.name == "a")
    assert len(large.raw) > 6_000_000
    assert "<" * 1_000_000 == json.loads(large.raw)["data"]["f"]


async def test_bookmarks_move_the_place_to_go_on_from(
    start: Watch, control_plane: Cluster, proxy: FaultProxy
) -> None:
    """Where nothing changes here, what changes elsewhere still moves the version of the next watch."""
    mirror = start(life_seconds=4)
    await mirror.until(lambda: mirror.count(ListDone) == 1)
    elsewhere = Writer(control_plane, await asyncio.to_thread(control_plane.namespace))
    await elsewhere.put("a")
    await eventually(lambda: proxy.count("watch") >= 2)
    queries = [
        parse_qs(urlsplit(exchange.request.target).query)
        for exchange in proxy.exchanges
        if exchange.request.verb == "watch"
    ]
    first, second = (int(query["resourceVersion"][0]) for query in queries[:2])
    assert first < elsewhere.there["a"] <= second


async def test_what_no_waiting_cures_ends_the_watch(
    open_api: OpenApi, control_plane: Cluster, namespace: str
) -> None:
    """Missing rights and wrong credentials are told, rather than tried for ever."""
    token = control_plane.service_account_token(namespace, "nobody")
    for api, expected in (
        (await open_api(token=token), NotPermitted),
        (await open_api(token="wrong"), AccessError),  # noqa: S106 - no secret
    ):
        with pytest.raises(expected):
            await anext(watch(api, CONFIGMAPS, "l=1"))


async def test_server_restored_from_a_backup_is_followed_back(
    own_control_plane: ControlPlane, open_api: OpenApi, tmp_path: Path
) -> None:
    """Where the server stands before what was seen, the list says so, and the later state is gone."""
    plane = own_control_plane
    namespace = await asyncio.to_thread(plane.namespace)
    writer = Writer(plane, namespace)
    await writer.put("a", "before")
    kept = dict(writer.there)
    await asyncio.to_thread(
        lambda: [s.stop() for s in (plane.controller_manager, plane.apiserver, plane.etcd)]
    )
    shutil.copytree(plane.data, tmp_path / "backup")
    await asyncio.to_thread(lambda: [s.start() for s in (plane.etcd, plane.apiserver)])
    for number in range(20):
        await writer.put("a", f"after {number}")
    api = await open_api(plane)
    api._access.namespace = namespace
    mirror = Mirror(api, silence_seconds=3)
    await mirror.until_equal(writer.there)
    await asyncio.to_thread(lambda: [s.stop() for s in (plane.apiserver, plane.etcd)])
    shutil.rmtree(plane.data)
    shutil.copytree(tmp_path / "backup", plane.data)
    await asyncio.to_thread(lambda: [s.start() for s in (plane.etcd, plane.apiserver)])
    await mirror.until_equal(kept)
    assert [False, True] == [e.is_behind for e in mirror.events if isinstance(e, ListBegun)]
    await mirror.close()

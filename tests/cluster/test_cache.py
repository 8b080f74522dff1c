"""What a store has seen is what is there, soon after anything that happens to its watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from http import HTTPStatus

import fault_proxy as faults
import pytest
from crew import open_spec
from fault_proxy import FaultProxy, StreamFault
from linearizable import goes_back
from patience import eventually

from controlplane import ControlPlane, Operation
from mendloop.core.model import RemediationState, Settings
from mendloop.core.names import HEAD
from mendloop.manager import StateManager
from mendloop.stores.port import Document, Store

CATCH_UP_SECONDS = 5
HEADS = 12
_REFUSED = {
    "429": faults.THROTTLED,
    "500": faults.INTERNAL_ERROR,
    "503": faults.UNAVAILABLE,
    "504": faults.TIMED_OUT,
    "reset": faults.RESET_BEFORE_REQUEST,
}


class Cached:
    """A store that watches through a proxy, and somebody who writes past it."""

    def __init__(self, proxy: FaultProxy, watching: Store, writing: Store) -> None:
        self._proxy = proxy
        self._watching = watching
        self._writing = writing
        self._there: dict[str, Document] = {}
        self._gone: set[str] = set()
        self._made = 0

    async def begin(self) -> None:
        for _ in range(HEADS):
            await self._make()
        self._watching.peek(HEAD, next(iter(self._there)))
        await self.catch_up()

    async def change(self) -> None:
        """Change three heads, remove one and make one."""
        for key in list(self._there)[1:4]:
            self._there[key] = await self._writing.replace(self._there[key], b"changed")
        key = next(iter(self._there))
        await self._writing.delete(self._there.pop(key))
        self._gone.add(key)
        await self._make()

    async def catch_up(self) -> None:
        """Wait until what is seen is what is there."""
        async with asyncio.timeout(CATCH_UP_SECONDS):
            await eventually(lambda: self._seen() == self._revisions())
        page = await self._writing.list(HEAD)
        assert self._revisions() == {
            **{document.key: document.revision for document in page.documents},
            **dict.fromkeys(self._gone),
        }

    async def spoil(self, fault: StreamFault) -> None:
        """Let *fault* happen to the watch, as soon as there is one."""
        await eventually(lambda: self._proxy.watches == 1)
        self._proxy.spoil_watches(fault)

    @property
    def lists(self) -> int:
        """How many lists the store has been given."""
        asked = (e for e in self._proxy.exchanges if e.request.verb == "list")
        return sum(exchange.status == HTTPStatus.OK for exchange in asked)

    def _seen(self) -> dict[str, str | None]:
        seen = {key: self._watching.peek(HEAD, key) for key in [*self._there, *self._gone]}
        return {key: document and document.revision for key, document in seen.items()}

    def _revisions(self) -> dict[str, str | None]:
        there = {key: document.revision for key, document in self._there.items()}
        return {**there, **dict.fromkeys(self._gone)}

    async def _make(self) -> None:
        self._made += 1
        key = f"task-{self._made}-state"
        self._there[key] = await self._writing.create(HEAD, key, b"new")


@pytest.fixture
async def cached(proxy: FaultProxy, direct: str, proxied: str) -> AsyncIterator[Cached]:
    """A store that has seen all there is."""
    watching, writing = await open_spec(proxied), await open_spec(direct)
    cached = Cached(proxy, watching, writing)
    await cached.begin()
    yield cached
    await watching.close()
    await writing.close()


@pytest.mark.parametrize("fault", [StreamFault.CUT, StreamFault.END, StreamFault.EXPIRE])
@pytest.mark.damages
async def test_a_stream_that_ends_is_followed_by_another(
    cached: Cached, proxy: FaultProxy, fault: StreamFault
) -> None:
    """Nothing is missed, nothing is listed again without need, and few requests are enough."""
    for _ in range(3):
        lists, requests = cached.lists, proxy.count()
        await cached.spoil(fault)
        await cached.change()
        await cached.catch_up()

        assert (fault is StreamFault.EXPIRE) == cached.lists - lists
        assert proxy.count() - requests <= 3


@pytest.mark.damages
async def test_an_expired_version_in_the_answer_is_one_new_list(
    cached: Cached, proxy: FaultProxy
) -> None:
    """The other way of a 410: before the stream has begun."""
    lists, requests = cached.lists, proxy.count()
    proxy.choose = faults.in_turn([faults.gone()], verbs={"watch"})
    await cached.spoil(StreamFault.CUT)
    await cached.change()
    await cached.catch_up()

    assert 1 == cached.lists - lists
    assert proxy.count() - requests <= 4


@pytest.mark.parametrize(
    ("verb", "fault"),
    [("watch", fault) for fault in _REFUSED.values()]
    + [("list", fault) for fault in (faults.THROTTLED, faults.UNAVAILABLE)],
    ids=[*(f"watch {name}" for name in _REFUSED), "list 429", "list 503"],
)
@pytest.mark.damages
async def test_a_server_that_refuses_is_asked_rarely(
    cached: Cached, proxy: FaultProxy, verb: str, fault: faults.Fault
) -> None:
    """While watches or lists are refused there are few requests; afterwards all is seen soon."""
    lists, requests, began = cached.lists, proxy.count(), time.monotonic()
    proxy.choose = faults.always(fault, verbs={verb})
    await cached.spoil(StreamFault.EXPIRE if verb == "list" else StreamFault.CUT)
    await cached.change()
    await asyncio.sleep(1.5)
    proxy.choose = faults.never
    await cached.catch_up()

    assert (verb == "list") == cached.lists - lists
    assert proxy.count() - requests <= 6 + 2 * (time.monotonic() - began)


@pytest.mark.parametrize("kind", ["outage", "standstill", "silence"])
@pytest.mark.damages
async def test_a_broken_line_is_made_up_for(
    cached: Cached, proxy: FaultProxy, kind: str, scaled: Callable[[int, int], int]
) -> None:
    """What changed while nobody answered, or while a stream stood still, is seen right afterwards."""
    lists, requests = cached.lists, proxy.count()
    async with AsyncExitStack() as broken:
        if kind == "silence":
            await cached.spoil(StreamFault.SILENCE)
        else:
            await broken.enter_async_context(getattr(proxy, kind)())
        if kind == "standstill":
            await cached.spoil(StreamFault.CUT)
        await cached.change()
        await asyncio.sleep(scaled(60, 2))
    if kind == "silence":
        await cached.spoil(StreamFault.CUT)
    await cached.catch_up()

    assert 0 == cached.lists - lists
    assert proxy.count() - requests <= 4


async def test_killed_servers_are_made_up_for(own_control_plane: ControlPlane) -> None:
    """After kill -9 of kube-apiserver, and of etcd, all is seen once the server is ready again."""
    plane = own_control_plane
    namespace = plane.namespace()
    async with FaultProxy(plane) as proxy, AsyncExitStack() as opened:
        stores = []
        for cluster in (proxy.cluster, plane):
            config = cluster.kubeconfig(plane.folder / f"{cluster.port}", namespace=namespace)
            stores.append(await open_spec(f"configmap:{config}"))
            opened.push_async_callback(stores[-1].close)
        cached = Cached(proxy, *stores)
        await cached.begin()
        for server in (plane.apiserver, plane.etcd):
            lists = cached.lists
            server.kill()
            await asyncio.to_thread(server.start)
            await eventually(plane.is_ready)
            await cached.change()
            await cached.catch_up()

            assert cached.lists - lists <= 1


async def test_a_reader_never_sees_a_task_go_back(
    proxy: FaultProxy, direct: str, proxied: str, scaled: Callable[[int, int], int]
) -> None:
    """Through streams that break all the time, a cached read is never behind one's own writes and reads."""
    streams = tuple(
        faults.spoiled(fault, after_events=2)
        for fault in (StreamFault.CUT, StreamFault.END, StreamFault.EXPIRE, StreamFault.SILENCE)
    )
    proxy.choose = faults.at_random(streams, rate=0.8, seed=5, verbs={"watch"})
    watching, writing = await open_spec(proxied), await open_spec(direct)
    told: list[Operation] = []

    def note(op: str, call: int, state: RemediationState | int, process: str) -> None:
        result = state if isinstance(state, int) else (state.iteration, 0)
        told.append(
            Operation(
                op=op, call=call, returned=time.monotonic_ns(), result=result, process=process
            )
        )

    async with StateManager(watching) as ours, StateManager(writing) as others:

        async def work() -> None:
            for turn in range(scaled(500, 50)):
                call = time.monotonic_ns()
                note("increment", call, await ours.increment_iteration("t"), "p")
                call = time.monotonic_ns()
                state = ours.cached_state("t")
                if state is not None:
                    note("look", call, state, "p")
                await others.increment_iteration("t")
                if turn % 5 == 0:
                    proxy.spoil_watches(StreamFault.CUT)
                    await asyncio.sleep(0.05)

        async def watch() -> None:
            async with aclosing(ours.watch_tasks()) as tasks:
                async for task in tasks:
                    assert task.state is not None
                    note("look", time.monotonic_ns(), task.state, "watch")

        await ours.create_task("t", settings=Settings(max_iterations=10_000))
        watcher = asyncio.create_task(watch())
        await work()
        proxy.choose = faults.never
        proxy.spoil_watches(StreamFault.CUT)
        end = 2 * scaled(500, 50)
        await eventually(lambda: getattr(ours.cached_state("t"), "iteration", 0) == end)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    await watching.close()
    await writing.close()

    assert [] == goes_back(told)
    assert {"p", "watch"} == {seen.process for seen in told if seen.op == "look"}
    assert {fault.stream for fault in streams} <= {
        exchange.fault.stream for exchange in proxy.exchanges if exchange.fault
    }

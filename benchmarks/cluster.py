"""
The speed on a real API server: ratios, each against bare requests of the same run.

The control plane is that of the tests, built from source where it is not there yet. A bare loop
sends what the store would send, over a session of its own, and does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from measure import alternate, finding, increments, new_task, report, timed

from mendloop.core.codec import encode, encode_state
from mendloop.core.names import head_name
from mendloop.kube.access import Access, load_access
from mendloop.manager import StateManager
from mendloop.stores.configmap import ConfigMapStore, open_configmaps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from controlplane import RELEASES, ControlPlane, programs

COUNT = 50
CALLERS = 64
PROCESSES = 8
TASKS = 32
CACHED_TASKS, CACHED_BYTES = 10_000, 4_000
APPLY = {"Content-Type": "application/apply-patch+yaml"}
MANAGER = {"fieldManager": "state-manager", "force": "true"}


def main() -> None:
    """Measure all in a namespace of a control plane."""
    with cluster() as kubeconfig:
        asyncio.run(measure(kubeconfig))


@contextmanager
def cluster() -> Iterator[str]:
    """Start a control plane; yields a kubeconfig for a namespace of it."""
    with (
        tempfile.TemporaryDirectory(prefix="mendloop-bench-") as folder,
        ControlPlane(Path(folder) / "plane", programs(RELEASES[-1])) as plane,
    ):
        yield str(plane.kubeconfig(Path(folder) / "config", namespace=plane.namespace()))


async def measure(kubeconfig: str) -> None:
    """Measure one thing after another."""
    async with (
        opened(kubeconfig) as (store, access),
        bare_session(access) as bare,
        StateManager(store, by="bench", door="bench") as manager,
    ):
        await one_after_another(manager, bare)
        await with_history(manager, bare)
        await many_at_once(manager)
        await many_tasks(manager, bare)
        await many_processes(manager, kubeconfig)
        await cached_reads(manager, bare)
    await memory(kubeconfig)


@asynccontextmanager
async def opened(kubeconfig: str) -> AsyncIterator[tuple[ConfigMapStore, Access]]:
    """Open the store as a controller does."""
    access = await load_access(kubeconfig=kubeconfig)
    store = open_configmaps(access, is_watching=True)
    yield store, access
    await store.close()


class Bare:
    """Requests for ConfigMaps without anything of ours."""

    def __init__(self, session: aiohttp.ClientSession, access: Access) -> None:
        """Send them over *session*."""
        self._session = session
        self._ssl = access.ssl or True
        self._url = f"{access.server}/api/v1/namespaces/{access.namespace}/configmaps"

    async def get(self, name: str) -> bytes:
        """Read one."""
        async with self._session.get(f"{self._url}/{name}", ssl=self._ssl) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def apply(self, name: str, body: dict[str, Any]) -> bytes:
        """Apply one."""
        url, data = f"{self._url}/{name}", msgspec.json.encode(body)
        async with self._session.patch(
            url, params=MANAGER, data=data, headers=APPLY, ssl=self._ssl
        ) as answer:
            assert answer.status in {200, 201}, await answer.text()
            return await answer.read()

    async def copy(self, task_id: str, name: str) -> dict[str, Any]:
        """Make an object of the content of a task's; returns what is applied to it."""
        found = json.loads(await self.get(head_name(task_id)))
        kept = {key: found["metadata"][key] for key in ("labels", "annotations")}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, **kept},
            "data": found["data"],
        }
        made = json.loads(await self.apply(name, body))
        body["metadata"]["uid"] = made["metadata"]["uid"]
        body["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
        return body

    async def versioned_writes(self, body: dict[str, Any], count: int) -> None:
        """Apply *count* times, each on the version of the one before."""
        meta = body["metadata"]
        for number in range(count):
            meta["annotations"]["mendloop.dev/write"] = f"{number}-{time.monotonic_ns()}"
            answer = await self.apply(meta["name"], body)
            meta["resourceVersion"] = _versions.decode(answer).metadata.resource_version

    async def specified_writes(self, body: dict[str, Any], count: int) -> None:
        """Write the specification's way: get, decode, count up, encode, apply without a version."""
        name = body["metadata"]["name"]
        metadata = {"name": name, "labels": body["metadata"]["labels"]}
        for _ in range(count):
            found = json.loads(await self.get(name))
            state = json.loads(found["data"]["state.json"])
            state["iteration"] += 1
            data = body["data"] | {"state.json": json.dumps(state, indent=2)}
            await self.apply(name, body | {"metadata": metadata, "data": data})


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str


class _Object(msgspec.Struct):
    metadata: _Meta


_versions = msgspec.json.Decoder(_Object)


@asynccontextmanager
async def bare_session(access: Access) -> AsyncIterator[Bare]:
    """Open a session of its own."""
    headers = await access.headers()
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Bare(session, access)


async def one_after_another(manager: StateManager, bare: Bare) -> None:
    """Compare with bare applies of the same body, and with the specification's way."""
    await new_task(manager, "seq")
    await increments(manager, "seq", 40)
    state = await manager.get_state("seq")
    assert state is not None
    size = len(encode_state(state))
    body = await bare.copy("seq", "bare-seq")
    ours, theirs = await alternate(
        lambda: increments(manager, "seq", COUNT), lambda: bare.versioned_writes(body, COUNT)
    )
    ratio = theirs / ours
    report(f"increments: rate / bare applies of {size} bytes", ratio, ">= 0.8", is_met=ratio >= 0.8)
    small = await a_small_v1_state(bare)
    ours, theirs = await alternate(
        lambda: increments(manager, "seq", COUNT), lambda: bare.specified_writes(small, COUNT)
    )
    ratio = theirs / ours
    report("increments: rate / get and apply of 1 kB", ratio, ">= 1.3", is_met=ratio >= 1.3)


async def a_small_v1_state(bare: Bare, findings: int = 0) -> dict[str, Any]:
    """A state as the specification's own writer has it, without anything of ours."""
    body = await bare.copy("seq", f"v1-{findings}")
    state = json.loads(body["data"]["state.json"])
    state = {key: value for key, value in state.items() if key != "mendloop"}
    state["feedback_history"] = [json.loads(encode(finding(number))) for number in range(findings)]
    state["error_messages"] = ["x" * 100] * (4 if not findings else 0)
    body["data"]["state.json"] = json.dumps(state, indent=2)
    del body["metadata"]["resourceVersion"], body["metadata"]["uid"]
    await bare.apply(body["metadata"]["name"], body)
    return body


async def with_history(manager: StateManager, bare: Bare) -> None:
    """Compare with the specification's way where a task has 1,000 findings."""
    await new_task(manager, "long")
    await manager.append_feedback("long", *(finding(number) for number in range(1000)))
    body = await a_small_v1_state(bare, findings=1000)
    ours, theirs = await alternate(
        lambda: increments(manager, "long", 10), lambda: bare.specified_writes(body, 10), rounds=3
    )
    ratio = theirs / ours
    report("1,000 findings: rate / get and apply", ratio, ">= 5", is_met=ratio >= 5)


async def many_at_once(manager: StateManager) -> None:
    """Compare 64 callers of one task with one after another."""
    await new_task(manager, "group")

    async def together() -> None:
        await asyncio.gather(*(manager.increment_iteration("group") for _ in range(CALLERS)))

    at_once, in_turn = await alternate(together, lambda: increments(manager, "group", CALLERS))
    ratio = in_turn / at_once
    report(f"{CALLERS} at once: rate / one after another", ratio, ">= 10", is_met=ratio >= 10)


async def many_tasks(manager: StateManager, bare: Bare) -> None:
    """Compare increments of 32 tasks at once with as many bare loops."""
    bodies = []
    for number in range(TASKS):
        await new_task(manager, f"wide-{number}")
        await increments(manager, f"wide-{number}", 20)
        bodies.append(await bare.copy(f"wide-{number}", f"bare-wide-{number}"))

    async def all_of(each: Callable[[int], Awaitable[None]]) -> None:
        await asyncio.gather(*(each(number) for number in range(TASKS)))

    ours, theirs = await alternate(
        lambda: all_of(lambda number: increments(manager, f"wide-{number}", 20)),
        lambda: all_of(lambda number: bare.versioned_writes(bodies[number], 20)),
        rounds=5,
    )
    ratio = theirs / ours
    report(f"{TASKS} tasks at once: rate / bare applies", ratio, ">= 0.8", is_met=ratio >= 0.8)


def a_process(kubeconfig: str, start: Any, results: Any) -> None:
    """Increment one task beside other processes; tells how long each call took, in seconds."""

    async def work() -> list[float]:
        async with opened(kubeconfig) as (store, _), StateManager(store, by="bench") as manager:
            await manager.get_state("shared")
            manager.cached_state("shared")
            await asyncio.to_thread(start.wait)
            return [await timed(lambda: increments(manager, "shared", 1)) for _ in range(COUNT)]

    results.put(asyncio.run(work()))


async def many_processes(manager: StateManager, kubeconfig: str) -> None:
    """Compare 8 processes on one task with one process; all of their numbers count."""
    await new_task(manager, "shared")
    alone = statistics.median(
        [await timed(lambda: increments(manager, "shared", COUNT)) for _ in range(3)]
    )
    before = await manager.get_current_iteration("shared")
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(PROCESSES + 1), context.Queue()
    workers = [
        context.Process(target=a_process, args=(kubeconfig, start, results))
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    await asyncio.to_thread(start.wait)
    begun = time.perf_counter()
    latencies = [
        seconds for _ in workers for seconds in await asyncio.to_thread(results.get, timeout=300)
    ]
    together = time.perf_counter() - begun
    for worker in workers:
        worker.join()
    lost = PROCESSES * COUNT - (await manager.get_current_iteration("shared") - before)
    ratio = (PROCESSES * COUNT / together) / (COUNT / alone)
    report(f"{PROCESSES} processes, one task: rate / one's", ratio, ">= 0.7", is_met=ratio >= 0.7)
    p99 = statistics.quantiles(latencies, n=100)[-1]
    report(f"{PROCESSES} processes, one task: p99 in seconds", p99, "< 1", is_met=p99 < 1)
    report(f"{PROCESSES} processes, one task: numbers lost", lost, "0", is_met=lost == 0)


async def cached_reads(manager: StateManager, bare: Bare) -> None:
    """Compare a read of what was seen with a bare GET of the same object."""
    name = head_name("seq")

    async def cached() -> None:
        for _ in range(COUNT):
            assert manager.cached_state("seq") is not None

    async def fresh() -> None:
        for _ in range(COUNT):
            await bare.get(name)

    ours, theirs = await alternate(cached, fresh)
    ratio = theirs / ours
    report("cached reads: rate / bare GETs", ratio, ">= 50", is_met=ratio >= 50)


def a_cache(kubeconfig: str, results: Any) -> None:
    """Watch all tasks in a fresh process; tells how much memory that takes, in MB."""

    async def work() -> float:
        async with opened(kubeconfig) as (store, _):
            await store.get("head", head_name("none"))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            watching, seen = store.watch("head"), 0
            async for _ in watching:
                seen += 1
                if seen >= CACHED_TASKS:
                    break
            await watching.aclose()
            return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000

    results.put(asyncio.run(work()))


async def memory(kubeconfig: str) -> None:
    """Fill the namespace up, and watch all of it."""
    access = await load_access(kubeconfig=kubeconfig)
    async with bare_session(access) as bare:
        pending = iter(range(CACHED_TASKS))

        async def fill() -> None:
            for number in pending:
                name = head_name(f"fill-{number:05}")
                labels = {"app": "remediation-state", "task-id": f"fill-{number:05}"}
                data = {"state.json": "x" * CACHED_BYTES}
                meta = {"name": name, "labels": labels}
                body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
                await bare.apply(name, body)

        await asyncio.gather(*(fill() for _ in range(TASKS)))
    await access.close()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=a_cache, args=(kubeconfig, results))
    process.start()
    megabytes = await asyncio.to_thread(results.get, timeout=300)
    process.join()
    what = f"MB for {CACHED_TASKS} cached tasks of {CACHED_BYTES} bytes"
    report(what, megabytes, "<= 120", is_met=megabytes <= 120)


if __name__ == "__main__":
    main()

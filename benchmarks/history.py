"""
What 20,000 findings of history cost: each figure against the same with 10, on both stores.

Rounds take turns and the median is printed. Beside it stands the specification's way, get and apply of
the whole state, until the server refuses it.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from measure import LIMIT, alternate, finding, increments, new_task, report, timed

from cluster import Bare, a_small_v1_state, bare_session, cluster, opened
from mendloop.core.model import Settings
from mendloop.manager import StateManager
from mendloop.stores.port import Document, Store
from mendloop.stores.sqlite import open_sqlite

MANY, FEW = 20_000, 10
AT_ONCE = 10
ROUNDS = 7
AIM = 1.3


def main() -> None:
    """Measure on both stores."""
    print(f"{'what':66} {'ratio':>8}  aim")
    with tempfile.TemporaryDirectory(prefix="mendloop-bench-") as folder:
        asyncio.run(on_sqlite(Path(folder)))
    with cluster() as kubeconfig:
        asyncio.run(on_cluster(kubeconfig))


async def on_sqlite(folder: Path) -> None:
    """Measure in a file."""
    store = await open_sqlite(folder / "state.db")
    await measure("SQLite", store)
    await store.close()


async def on_cluster(kubeconfig: str) -> None:
    """Measure on an API server, and show how far the specification's way goes there."""
    async with opened(kubeconfig) as (store, access):
        await measure("cluster", store)
        async with bare_session(access) as bare, StateManager(store) as manager:
            await new_task(manager, "seq")
            await increments(manager, "seq", 4)
            await specified(bare)


async def measure(where: str, store: Store) -> None:
    """Measure one store."""
    counting = Counting(store)
    async with StateManager(counting, by="bench", door="bench") as manager:
        await prepare(manager, "many", MANY)
        fresh, places = itertools.count(MANY), itertools.count(1)
        small: list[str] = []

        async def few_each() -> str:
            task_id = f"few-{len(small)}"
            small.append(task_id)
            await prepare(manager, task_id, FEW)
            return task_id

        async def compare(
            what: str, act: Callable[[str, Sequence[int]], Awaitable[object]], numbers: Numbers
        ) -> None:
            tasks = iter([await few_each() for _ in range(ROUNDS + 1)])
            many, few = await alternate(
                lambda: act("many", numbers(MANY)),
                lambda: act(next(tasks), numbers(FEW)),
                rounds=ROUNDS,
            )
            title = f"{where}: {what}, with {MANY} findings / with {FEW}"
            report(title, many / few, f"<= {AIM}", is_met=many / few <= AIM)

        def spread(count: int) -> list[int]:
            """Findings that were not asked for before, far from each other."""
            if count == FEW:
                return list(range(FEW))
            return [next(places) * 7919 % count for _ in range(AT_ONCE)]

        await compare("increment", lambda task, _: increments(manager, task, AT_ONCE), lambda _: [])
        await compare(
            "new finding",
            lambda task, numbers: append(manager, task, numbers),
            lambda _: [next(fresh) for _ in range(AT_ONCE)],
        )
        await compare("returning finding", lambda t, n: append(manager, t, n), spread)
        await compare("known finding", lambda t, _: append(manager, t, known(t)), lambda _: [])
        counting.reads = 0
        async with StateManager(counting) as cold:
            page = await cold.find("many", limit=100, cursor=str(MANY // 2))
        assert len(page.entries) == 100
        report(
            f"{where}: requests for a page of 100 from the middle",
            counting.reads,
            "<= 3",
            is_met=counting.reads <= 3,
        )


async def specified(bare: Bare) -> None:
    """Grow a state the specification's way until no write of it is taken any more."""
    first = 0.0
    for count in itertools.count(FEW, 500):
        try:
            seconds = await written_as_specified(bare, count)
        except AssertionError as refusal:
            print(f"the specification's way fails at {count} findings: {str(refusal)[:160]}")
            return
        first = first or seconds
        print(
            f"{f'the specification: a write with {count} findings / with 10':66} {seconds / first:8.2f}"
        )


async def written_as_specified(bare: Bare, count: int) -> float:
    """Seconds of three writes of a state with so many findings."""
    body = await a_small_v1_state(bare, findings=count)
    return await timed(lambda: bare.specified_writes(body, 3))


Numbers = Callable[[int], Sequence[int]]


def known(task_id: str) -> list[int]:
    """Findings that were delivered a second time before."""
    return (
        [n * 7919 % MANY for n in range(1, AT_ONCE + 1)] if task_id == "many" else list(range(FEW))
    )


async def append(manager: StateManager, task_id: str, numbers: Sequence[int]) -> None:
    """Add findings one by one."""
    for number in numbers:
        await manager.append_feedback(task_id, finding(number))


async def prepare(manager: StateManager, task_id: str, count: int) -> None:
    """Make a task whose findings were all resolved."""
    entries = [msgspec.structs.replace(finding(n), resolved=True) for n in range(count)]
    await manager.create_task(task_id, settings=Settings(max_iterations=LIMIT))
    state = await manager.require_state(task_id)
    await manager.create_or_update_state(
        msgspec.structs.replace(state, feedback_history=tuple(entries))
    )


class Counting:
    """A store that counts reads."""

    def __init__(self, store: Store) -> None:
        """Count on *store*."""
        self._store = store
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        """Pass all else through."""
        return getattr(self._store, name)

    async def get(self, kind: str, key: str) -> Document | None:
        """Read, and count it."""
        self.reads += 1
        return await self._store.get(kind, key)


if __name__ == "__main__":
    main()

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest
from cleanups import end_task
from clocks import BehindClock
from served import Replica, Served

from mendloop.core.election import LeaseRecord, Leases
from mendloop.core.errors import StateError
from mendloop.kube.access import load_access
from mendloop.kube.api import Api
from mendloop.kube.leases import KubernetesLeases
from mendloop.manager import StateManager
from mendloop.stores.leases import StoredLeases
from mendloop.stores.port import Store

_CONFIG = """
[github]
max_age = "1h"
[cleanup]
interval = "1s"
retention = "1h"
grace = "1h"
"""
_LEADER = "mendloop-leader"
_LEASE_SECONDS = 15.0
_SPARE_SECONDS = 5.0
_TWO_HOURS_SECONDS = 7200.0
_A_LOT = 8

KILL, STOP, TERM = signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM


@pytest.fixture
async def leases(served: Served, store: Store) -> AsyncIterator[Leases]:
    """Where the replicas of `served` elect their leader."""
    if served.spec != "kubernetes":
        yield StoredLeases(store, _LEADER)
        return
    api = Api(await load_access(kubeconfig=served.environment["KUBECONFIG"]))
    yield KubernetesLeases(api, _LEADER)
    await api.close()


class _Crew:
    """Three replicas, and tasks for the cleanups of whoever leads them."""

    def __init__(self, served: Served, store: Store, leases: Leases) -> None:
        (served.folder / "serve.toml").write_text(_CONFIG)
        self._served = served
        self._leases = leases
        self._past = StateManager(store, clock=BehindClock(_TWO_HOURS_SECONDS))
        self._lots = 0

    async def start(self) -> None:
        """Start another replica, which is ready afterwards."""
        config = str(self._served.folder / "serve.toml")
        replica = self._served.start("--config", config)
        await asyncio.to_thread(replica.wait_until_ready)

    async def record(self) -> LeaseRecord:
        """What is stored of the election."""
        while True:
            try:
                held = await self._leases.read()
            except StateError:
                held = None
            if held is not None:
                return held.record
            await asyncio.sleep(0.05)

    async def led_by_another_than(self, name: str) -> LeaseRecord:
        """Wait for another leader."""
        while (record := await self.record()).holder in {"", name}:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        return record

    def replica(self, name: str) -> Replica:
        return next(replica for replica in self._served.replicas if replica.name == name)

    @property
    def living(self) -> list[Replica]:
        return [replica for replica in self._served.replicas if replica.process.poll() is None]

    async def plant(self) -> tuple[list[str], list[str]]:
        """Make tasks that the next cleanup has to delete, and others that it has to remove."""
        self._lots += 1
        to_delete = [f"old-{self._lots}-{number}" for number in range(_A_LOT)]
        to_remove = [f"older-{self._lots}-{number}" for number in range(_A_LOT)]
        for old, older in zip(to_delete, to_remove, strict=True):
            await end_task(self._past, old)
            await end_task(self._past, older)
            await self._past.delete(older, reason="was past retention")
        return to_delete, to_remove

    async def until_clean(self, to_delete: list[str], to_remove: list[str]) -> Counter[str]:
        """Wait for the cleanups; returns who deleted how many, each task by one deletion."""
        async with asyncio.timeout(60):
            for task_id in to_remove:
                while await self._past.get_state(task_id):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
            deletions = [await self._deletions(task_id) for task_id in to_delete]
            logs = [(await self._past.read_log(task_id)).entries for task_id in to_remove]
        assert [1] * len(to_delete) == [len(by) for by in deletions]
        assert [["remove"]] * len(to_remove) == [[entry.do for entry in log] for log in logs]
        return Counter(by[0] for by in deletions)

    async def _deletions(self, task_id: str) -> list[str]:
        while True:
            state = await self._past.require_state(task_id)
            if state.ledger.deleted is not None:
                break
            await asyncio.sleep(0.05)
        changes = [change for commit in state.ledger.commits for change in commit.changes]
        return [change.by for change in changes if change.do == "delete"]

    async def counted_removals(self) -> float:
        """How many removals those that live say they did."""
        counts = [
            asyncio.to_thread(replica.metric, "mendloop_cleanup_tasks_total", what="removed")
            for replica in self.living
        ]
        return sum(await asyncio.gather(*counts))

    async def close(self) -> None:
        await self._past.close()


async def test_whatever_becomes_of_the_leader_another_follows(
    served: Served, store: Store, leases: Leases, scaled: Callable[[int, int], int]
) -> None:
    """
    The leader of three is killed, stopped beyond its lease and continued, or ended, amid cleanups.

    Another leads within the lease and five seconds, at once where the leader ended in good order;
    each task is deleted once and removed once; one that was continued leads no more.
    """
    crew = _Crew(served, store, leases)
    blows = (STOP, TERM, KILL) if served.spec == "kubernetes" else (KILL, TERM, STOP)
    await asyncio.gather(*(crew.start() for _ in range(3)))
    before = await crew.led_by_another_than("")
    for number in range(scaled(20, 2)):
        now = await _one_round(crew, before, blows[number % len(blows)])
        assert before.transitions + 1 == now.transitions
        before = now
    for replica in crew.living:
        assert 0 == await asyncio.to_thread(replica.end)
    assert "" == (await crew.record()).holder
    await crew.close()


async def _one_round(crew: _Crew, before: LeaseRecord, blow: signal.Signals) -> LeaseRecord:
    """Hit the leader amid its cleanups; returns the record of the next one."""
    old = crew.replica(before.holder)
    counted = await crew.counted_removals()
    planting = asyncio.create_task(crew.plant())
    await asyncio.sleep(0.3)
    old.signal(blow)
    hit_seconds = time.monotonic()
    now = await crew.led_by_another_than(old.name)
    takeover_seconds = time.monotonic() - hit_seconds
    promised_seconds = _SPARE_SECONDS + (0 if blow is TERM else _LEASE_SECONDS)
    assert takeover_seconds <= promised_seconds, blow
    deleted_by = await crew.until_clean(*await planting)
    assert deleted_by.keys() <= {f"mendloop@{name}" for name in (old.name, now.holder)}
    if blow is STOP:
        await _continue(crew, old, now)
        # Of the cleanup that the blow cut off nothing is counted, by either.
        assert counted <= await crew.counted_removals() <= counted + _A_LOT
    else:
        assert {TERM: 0, KILL: -KILL}[blow] == await asyncio.to_thread(old.process.wait, 20)
        await crew.start()
    deleted_by = await crew.until_clean(*await crew.plant())
    assert {f"mendloop@{now.holder}": _A_LOT} == deleted_by
    return now


async def _continue(crew: _Crew, old: Replica, now: LeaseRecord) -> None:
    """Let the old leader go on: it says that it leads no more, and the new one stays."""
    old.signal(signal.SIGCONT)
    async with asyncio.timeout(15):
        while await asyncio.to_thread(old.metric, "mendloop_leader"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
        later = now
        while later.renewed_at == now.renewed_at:
            await asyncio.sleep(0.1)
            later = await crew.record()
    assert (now.holder, now.transitions) == (later.holder, later.transitions)

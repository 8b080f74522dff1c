"""What the service tells of the store: repairs, sizes, cleanups."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import SteppedClock
from faulty_store import FaultyStore
from patience import eventually
from rot import rot
from served import Replica, Served
from states import holder

from mendloop.core.commands import AcquireLease, RenewLease
from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager
from mendloop.service.cleanup_record import CLEANUP, CleanupRecord
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

_DAY_SECONDS = 86_400.0
_TTL_SECONDS = 4.0


def _start(served: Served, config: str) -> Replica:
    file = served.folder / f"serve-{len(served.replicas)}.toml"
    file.write_text(config)
    return served.start("--config", str(file))


async def _damage(store: Store, task_id: str) -> None:
    head = await store.get(HEAD, head_name(task_id))
    assert head is not None
    await store.replace(head, head.body + b"}")


async def _until_told(replica: Replica, wanted: float, name: str, **labels: str) -> None:
    """Wait until a metric has the value."""
    async with asyncio.timeout(30):
        while await asyncio.to_thread(replica.metric, name, **labels) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.other_hands
async def test_repairs_are_counted_by_whomever_they_are_made(served: Served, store: Store) -> None:
    """
    Each replica counts a repair, a restore from a copy and a change by other hands, once.

    Of sizes and cleanups only the one that leads tells.
    """
    async with StateManager(store) as manager:
        for task_id in ("1", "2", "3"):
            await manager.create_task(task_id)
        await _damage(store, "3")
        replicas = await _started(served)
        await _damage(store, "1")
        for replica in replicas:
            await _until_told(replica, 2, "mendloop_unreadable_tasks")
        await manager.recover_state("3")
        repaired = await manager.recover_state("1")
        for replica in replicas:
            await _until_told(replica, 0, "mendloop_unreadable_tasks")
            await _until_told(replica, 2, "mendloop_recoveries_total", kind="repair")
        await manager.restore_from("1", repaired.quarantined[0])
        edited = await store.get(HEAD, head_name("2"))
        assert edited is not None
        await store.replace(edited, edited.body.replace(b'"iteration":0', b'"iteration":5'))
        assert 6 == await manager.increment_iteration("2")
        for replica in replicas:
            await _until_told(replica, 1, "mendloop_recoveries_total", kind="restore")
            await _until_told(replica, 1, "mendloop_recoveries_total", kind="outside")
            assert 2 == replica.metric("mendloop_recoveries_total", kind="repair")
    await _check_only_the_leader_tells(*replicas)


async def _started(served: Served) -> list[Replica]:
    """Start a replica that leads, and one that follows."""
    replicas = []
    for _ in range(2):
        replica = _start(served, '[store]\nweigh_interval = "1s"\nlimit = 1000000\n')
        await asyncio.to_thread(replica.wait_until_ready)
        await _until_told(served.replicas[0], 1, "mendloop_leader")
        replicas.append(replica)
    return replicas


async def _check_only_the_leader_tells(leader: Replica, follower: Replica) -> None:
    """Make sure that what a follower says of sizes and cleanups can never be stale: it says nothing."""
    await _until_told(leader, 1_000_000, "mendloop_store_limit_bytes")
    assert (1, 0) == (leader.metric("mendloop_leader"), follower.metric("mendloop_leader"))
    assert (1, 1) == (leader.metric("mendloop_has_leader"), follower.metric("mendloop_has_leader"))
    assert leader.metric("mendloop_document_limit_bytes") >= 2**20
    assert 3 == leader.metric("mendloop_document_bytes_gcount", kind="head")
    for name in ("store_limit_bytes", "document_limit_bytes", "cleanup_due_timestamp_seconds"):
        assert 0 == follower.metric(f"mendloop_{name}")


async def test_the_lease_of_a_run_that_is_gone_is_taken_back(served: Served, store: Store) -> None:
    """The leader frees a task whose lease nobody renews, counts it once, and lets a living run be."""
    async with StateManager(store) as manager:
        generations = {}
        for task_id in ("gone", "living"):
            await manager.create_task(task_id)
            acquire = AcquireLease(
                holder=holder(task_id), ttl_seconds=_TTL_SECONDS, boottime_seconds=1.0
            )
            taken = await manager.submit(task_id, acquire)
            generations[task_id] = int(taken["generation"])
        replica = served.start()
        await asyncio.to_thread(replica.wait_until_listening)
        renew = RenewLease(generation=generations["living"], boottime_seconds=1.0)
        async with asyncio.timeout(40):
            while not await asyncio.to_thread(
                replica.metric, "mendloop_recoveries_total", kind="lease"
            ):
                await manager.submit("living", renew)
                await asyncio.sleep(_TTL_SECONDS / 10)
        gone = (await manager.require_state("gone")).ledger
        taken, left = [commit.changes[0] for commit in gone.commits[-2:]]
        assert gone.lease.holder is None
        assert ("acquire_lease", "ann@laptop") == (taken.do, taken.facts["taken_from"])
        assert ("release_lease", 2) == (left.do, left.facts["generation"])
        assert {("service", taken.by)} == {(taken.door, left.by), (left.door, left.by)}
        assert (await manager.require_state("living")).ledger.lease.holder is not None
        assert 1 == replica.metric("mendloop_recoveries_total", kind="lease")


async def test_no_restart_makes_the_last_cleanup_forgotten(served: Served, store: Store) -> None:
    """A new leader tells when a cleanup last succeeded under an earlier one, and when the next is late."""
    first = _start(served, '[cleanup]\ninterval = "1s"\n')
    await asyncio.to_thread(first.wait_until_ready)
    began_at = time.time()
    await eventually(lambda: first.metric("mendloop_cleanup_last_success_timestamp_seconds") > 0)
    assert 0 == first.end()
    succeeded_at = time.time()
    second = _start(served, '[cleanup]\ninterval = "1d"\n')
    await asyncio.to_thread(second.wait_until_ready)
    await eventually(lambda: second.metric("mendloop_cleanup_due_timestamp_seconds") > 0)
    told = second.metric("mendloop_cleanup_last_success_timestamp_seconds")
    assert began_at - 1 < told < succeeded_at
    due = second.metric("mendloop_cleanup_due_timestamp_seconds")
    assert told + 2 * _DAY_SECONDS == pytest.approx(due)


async def test_a_store_without_a_cleanup_counts_from_its_first_service(store: Store) -> None:
    """A cleanup that never succeeds is late in the end, however often the service is started anew."""
    clock = SteppedClock()
    first = await CleanupRecord(store, clock=clock).read()
    clock.pass_seconds(_DAY_SECONDS)
    assert first == await CleanupRecord(store, clock=clock).read()
    assert first.succeeded_at is None
    told = await CleanupRecord(store, clock=clock).succeed()
    assert (first.since, told) == (told.since, await CleanupRecord(store, clock=clock).read())
    assert told.succeeded_at is not None
    assert told.succeeded_at >= first.since + timedelta(days=1)


@pytest.mark.parametrize("damaged", [b"{", b'{"since": "\xff"}', b'{"more": ' + b"[" * 9999])
async def test_a_damaged_record_of_cleanups_is_made_anew(store: Store, damaged: bytes) -> None:
    """It is worth no more than the time that counts from now."""
    clock = SteppedClock()
    await store.create(CLEANUP, "last", damaged)
    assert (await CleanupRecord(store, clock=clock).read()).since <= clock.now()


async def test_a_damaged_row_of_cleanups_is_made_anew(tmp_path: Path) -> None:
    """Also where what it says could be read: it is not what was written."""
    store, clock = await open_sqlite(tmp_path / "state.db"), SteppedClock()
    told = await CleanupRecord(store, clock=clock).succeed()
    rot(tmp_path / "state.db", CLEANUP, "the digest")
    anew = await CleanupRecord(store, clock=clock).read()
    kept = await store.get(CLEANUP, "last")

    assert told.succeeded_at is not None
    assert anew.succeeded_at is None
    assert anew.since > told.since
    assert kept is not None
    assert "" == kept.damage
    await store.close()


class _Overtaken(FaultyStore):
    """Somebody else does `other` before the first write."""

    other: Callable[[], Awaitable[object]] | None = None

    async def before(self, operation: str, _kind: str) -> None:
        other = self.other
        if other is not None and operation in {"create", "replace"}:
            self.other = None
            await other()


@pytest.mark.parametrize("is_there", [True, False])
async def test_of_two_that_write_the_record_of_cleanups_at_once_one_is_kept(
    store: Store, *, is_there: bool
) -> None:
    """Neither fails, whether there was one before or not."""
    clock = SteppedClock()
    overtaken = _Overtaken(store)
    first, second = CleanupRecord(store, clock=clock), CleanupRecord(overtaken, clock=clock)
    if is_there:
        await first.read()
    overtaken.other = first.succeed
    told = await second.succeed()
    kept = await first.read()

    assert None not in {told.succeeded_at, kept.succeeded_at}
    assert told != kept

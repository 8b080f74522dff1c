"""Tasks that are over go in two steps, and nothing else does; on both stores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cleanups import DAY_SECONDS, StubbornStore, documents, end_task, told
from clocks import SteppedClock
from faulty_store import Fault, FaultyStore
from patience import eventually
from states import entry, holder

from mendloop.cleanup import CleanupReport, CleanupTerms
from mendloop.core.commands import AcquireLease
from mendloop.core.errors import (
    StateDeleted,
    StateError,
    StoreUnavailable,
    TransitionRefused,
    ValidationError,
)
from mendloop.core.names import CHUNK, HEAD, QUARANTINE, head_name
from mendloop.core.vocabulary import Status
from mendloop.manager import StateManager
from mendloop.stores.port import Store

Open = Callable[[], Awaitable[Store]]
Manage = Callable[..., StateManager]


@pytest.fixture
def clock() -> SteppedClock:
    """A clock that the test moves."""
    return SteppedClock()


@pytest.fixture
def keeper(place: Store, clock: SteppedClock, manage: Manage) -> StateManager:
    """A manager on the test's store and clock."""
    return manage(place, clock=clock)


def did(report: CleanupReport) -> tuple[list[str], list[str], list[str]]:
    """What went, and what failed."""
    return report.deleted, report.removed, [failure.task_id for failure in report.failures]


async def test_a_task_goes_in_two_steps(
    place: Store, keeper: StateManager, clock: SteppedClock
) -> None:
    """Deleted after the retention, removed after the grace with all its chunks; not before."""
    await end_task(keeper, "old", findings=200)
    await end_task(keeper, "other", findings=200)
    await keeper.hold("other", reason="evidence")
    clock.pass_seconds(6.9 * DAY_SECONDS)
    assert ([], [], []) == did(await keeper.cleanup_old_states())
    clock.pass_seconds(0.2 * DAY_SECONDS)
    report = await keeper.cleanup_old_states()
    assert (["old"], [], []) == did(report)
    assert ["other"] == report.held
    clock.pass_seconds(0.9 * DAY_SECONDS)
    assert ([], [], []) == did(await keeper.cleanup_old_states())
    clock.pass_seconds(0.2 * DAY_SECONDS)
    assert ([], ["old"], []) == did(await keeper.cleanup_old_states())

    left = await documents(place)
    assert [] == [key for _, key, _ in left if "task-old-" in key]
    assert 1 < len([key for _, key, _ in left if "task-other-" in key])
    assert 200 == len(await keeper.get_feedback_history("other"))
    assert 1 == await keeper.increment_iteration("old")


async def test_a_deleted_task_takes_no_other_command(
    keeper: StateManager, clock: SteppedClock
) -> None:
    """Each is refused, and the refusal names the way back; deleting it again changes nothing."""
    await end_task(keeper, "t")
    await keeper.delete("t", reason="a duplicate")
    read = await keeper.require_state("t")
    await keeper.delete("t", reason="again")
    refused: list[Callable[[], Awaitable[Any]]] = [
        lambda: keeper.create_task("t"),
        lambda: keeper.increment_iteration("t"),
        lambda: keeper.append_feedback("t", entry()),
        lambda: keeper.create_or_update_state(read),
        lambda: keeper.compress_feedback_history("t"),
        lambda: keeper.pause("t", reason="x"),
        lambda: keeper.resume("t"),
        lambda: keeper.stop("t", reason="x"),
        lambda: keeper.hold("t", reason="x"),
    ]
    for call in refused:
        with pytest.raises(StateDeleted, match=r"a duplicate.*`mendloop restore t`"):
            await call()

    assert read == await keeper.require_state("t")
    await keeper.restore("t")
    assert 1 == await keeper.resume("t") + 1
    with pytest.raises(ValidationError, match="not deleted"):
        await keeper.restore("t")


async def test_a_restore_gives_back_all_that_there_was(
    keeper: StateManager, clock: SteppedClock
) -> None:
    """State, findings and commits are as before; the retention begins anew, and so does the grace."""
    await end_task(keeper, "t", findings=200)
    before = await told(keeper, "t")
    clock.pass_seconds(8 * DAY_SECONDS)
    assert ["t"] == (await keeper.cleanup_old_states()).deleted
    clock.pass_seconds(0.9 * DAY_SECONDS)
    await keeper.restore("t")

    assert before == await told(keeper, "t")
    clock.pass_seconds(6.9 * DAY_SECONDS)
    assert ([], [], []) == did(await keeper.cleanup_old_states())
    assert before == await told(keeper, "t")
    clock.pass_seconds(0.2 * DAY_SECONDS)
    assert ["t"] == (await keeper.cleanup_old_states()).deleted


async def test_only_what_is_over_goes(
    place: Store, keeper: StateManager, clock: SteppedClock
) -> None:
    """Not what is in progress or leased, nor what somebody holds by a command or a label."""
    for task_id in ("held", "labelled", "ended"):
        await end_task(keeper, task_id)
    for task_id in ("made", "leased"):
        await keeper.create_task(task_id)
    lease = AcquireLease(holder=holder(), ttl_seconds=30.0, boottime_seconds=1.0)
    await keeper.submit("leased", lease)
    await keeper.increment_iteration("going")
    await keeper.hold("held", reason="evidence")
    head = await place.get(HEAD, head_name("labelled"))
    assert head is not None
    await place.replace(head, head.body, labels={"hold": "audit"})
    clock.pass_seconds(400 * DAY_SECONDS)
    report = await keeper.cleanup_old_states()
    assert (["ended", "made"], [], []) == (sorted(report.deleted), *did(report)[1:])
    assert (["held", "labelled"], ["going"]) == (report.held, report.stale)
    with pytest.raises(TransitionRefused, match="label hold"):
        await keeper.delete("labelled", reason="x")
    with pytest.raises(TransitionRefused, match="in progress"):
        await keeper.delete("going", reason="x")
    await keeper.end_hold("held")

    assert ["held"] == (await keeper.cleanup_old_states()).deleted


async def test_a_hold_stops_a_removal_too(
    place: Store, keeper: StateManager, clock: SteppedClock
) -> None:
    """A label that somebody sets on a deleted task keeps it, and it can still be restored."""
    await end_task(keeper, "t")
    await keeper.delete("t", reason="x")
    head = await place.get(HEAD, head_name("t"))
    assert head is not None
    await place.replace(head, head.body, labels={"hold": "audit"})
    clock.pass_seconds(400 * DAY_SECONDS)

    assert ["t"] == (await keeper.cleanup_old_states()).held
    await keeper.restore("t")
    assert Status.FAILED is (await keeper.require_state("t")).status


async def test_a_dry_run_changes_nothing(
    place: Store, keeper: StateManager, clock: SteppedClock
) -> None:
    """It tells what a cleanup would do, and every document keeps its revision."""
    await end_task(keeper, "gone", findings=100)
    await keeper.delete("gone", reason="x")
    await end_task(keeper, "old")
    await place.create(QUARANTINE, "task-old-quarantine-1", b"x", labels={"task-id": "old"})
    past = {"made_at": "2025-01-01T00:00:00Z"}
    await place.create(
        QUARANTINE, "task-old-quarantine-2", b"x", fields=past, labels={"task-id": "old"}
    )
    clock.pass_seconds(8 * DAY_SECONDS)
    before = await documents(place)
    report = await keeper.cleanup_old_states(CleanupTerms(is_dry_run=True))

    assert (["old"], ["gone"], []) == did(report)
    assert before == await documents(place)
    assert (["old"], ["gone"], []) == did(await keeper.cleanup_old_states())


class _ScrubbedStore(FaultyStore):
    """Counts how often it is scrubbed."""

    async def scrub(self) -> None:
        self.calls["scrub"] += 1
        await super().scrub()


async def test_only_a_cleanup_that_removes_scrubs_the_store(place: Store, manage: Manage) -> None:
    """What is left of removed documents is overwritten after a cleanup, and a dry run writes nothing."""
    store = _ScrubbedStore(place)
    keeper = manage(store)
    await keeper.cleanup_old_states(CleanupTerms(is_dry_run=True))
    assert 0 == store.calls["scrub"]
    await keeper.cleanup_old_states()

    assert 1 == store.calls["scrub"]


class _RevivingStore(FaultyStore):
    """Revives every task that it lists, after it was listed."""

    def __init__(self, store: Store, revive: Callable[[str], Awaitable[Any]]) -> None:
        super().__init__(store)
        self._revive = revive

    async def after(self, operation: str, kind: str, answer: Any) -> None:
        if (operation, kind) == ("list", HEAD):
            for document in answer.documents:
                await self._revive(document.labels["task-id"])


async def test_what_is_revived_after_the_listing_stays(
    place: Store, keeper: StateManager, clock: SteppedClock, manage: Manage
) -> None:
    """A task that is resumed between the listing and the deletion is not deleted, nor reported."""
    for number in range(5):
        await end_task(keeper, f"t{number}")
    clock.pass_seconds(8 * DAY_SECONDS)
    cleaner = manage(_RevivingStore(place, keeper.resume), clock=clock)
    report = await cleaner.cleanup_old_states()

    assert ([], [], []) == did(report)
    for number in range(5):
        assert not (await keeper.require_state(f"t{number}")).status.is_ended


@pytest.mark.parametrize("findings", [0, 100])
async def test_what_is_deleted_anew_after_the_listing_has_its_grace(
    place: Store, keeper: StateManager, clock: SteppedClock, manage: Manage, findings: int
) -> None:
    """A task that was restored and deleted again stays, though by a clock that is an hour behind."""
    behind = SteppedClock()
    behind.pass_seconds(2 * DAY_SECONDS - 3600)
    other = manage(place, clock=behind)
    await end_task(keeper, "t", findings=findings)
    await keeper.delete("t", reason="x")
    clock.pass_seconds(2 * DAY_SECONDS)

    async def delete_anew(task_id: str) -> None:
        await other.restore(task_id)
        await other.delete(task_id, reason="y")

    report = await manage(_RevivingStore(place, delete_anew), clock=clock).cleanup_old_states()

    assert ([], [], []) == did(report)
    await keeper.restore("t")


async def test_a_revival_and_a_cleanup_at_once_agree(
    open_one: Open,
    keeper: StateManager,
    clock: SteppedClock,
    manage: Manage,
    scaled: Callable[[int, int], int],
) -> None:
    """Whoever was told that the task goes on has it; it is deleted only where they were refused."""
    other = manage(await open_one(), clock=clock)
    for number in range(scaled(500, 50)):
        task_id = f"t{number}"
        await end_task(keeper, task_id)
        clock.pass_seconds(8 * DAY_SECONDS)

        async def revive(task_id: str, turns: int) -> bool:
            for _ in range(turns):
                await asyncio.sleep(0.0003)
            try:
                await other.resume(task_id)
            except StateDeleted:
                return False
            return True

        is_revived, report = await asyncio.gather(
            revive(task_id, number % 10), keeper.cleanup_old_states()
        )
        assert [] == report.failures
        state = await keeper.require_state(task_id)
        assert is_revived == (state.ledger.deleted is None)
        assert is_revived == (task_id not in report.deleted)
        if is_revived:
            await keeper.stop(task_id, reason="over again")


async def test_a_failing_delete_stops_no_other(
    place: Store, keeper: StateManager, clock: SteppedClock, manage: Manage
) -> None:
    """The others go, it is reported with why, cannot be restored, and goes with the next cleanup."""
    for task_id in ("a", "b", "c"):
        await end_task(keeper, task_id, findings=100)
        await keeper.delete(task_id, reason="x")
    clock.pass_seconds(2 * DAY_SECONDS)
    stubborn = StubbornStore(place, stubborn="task-b-history")
    cleaner = manage(stubborn, clock=clock)
    report = await cleaner.cleanup_old_states()
    assert (["a", "c"], ["b"]) == (sorted(report.removed), did(report)[2]), report.failures
    assert "stays" in report.failures[0].why
    with pytest.raises(StateDeleted, match="cannot be restored"):
        await keeper.restore("b")
    stubborn.stubborn = head_name("b")
    assert ["b"] == did(await cleaner.cleanup_old_states())[2]
    stubborn.stubborn = ""

    assert ([], ["b"], []) == did(await cleaner.cleanup_old_states())
    assert [] == await documents(place)


async def test_a_clock_that_is_off_harms_nothing(
    place: Store, keeper: StateManager, manage: Manage
) -> None:
    """A cleanup whose clock is an hour behind or ahead takes nothing that is not old on its own."""
    ahead, behind = SteppedClock(), SteppedClock()
    ahead.pass_seconds(3600)
    behind.pass_seconds(-3600)
    await end_task(keeper, "young")
    await end_task(keeper, "gone")
    await keeper.delete("gone", reason="x")
    for clock in (ahead, behind):
        report = await manage(place, clock=clock).cleanup_old_states()
        assert ([], [], []) == did(report)
    behind.pass_seconds(0)
    terms = CleanupTerms(retention_seconds=1, grace_seconds=1)

    assert ([], [], []) == did(await manage(place, clock=behind).cleanup_old_states(terms))


async def test_quarantined_copies_go_by_their_own_retention(
    place: Store, keeper: StateManager, clock: SteppedClock
) -> None:
    """They count from the first cleanup that sees them, and stay when their task goes."""
    await end_task(keeper, "t")
    await place.create(QUARANTINE, "task-t-quarantine-1", b"x", labels={"task-id": "t"})
    await place.create(
        QUARANTINE, "task-t-quarantine-2", b"x", labels={"task-id": "t", "hold": "yes"}
    )
    clock.pass_seconds(8 * DAY_SECONDS)
    await keeper.cleanup_old_states()
    clock.pass_seconds(2 * DAY_SECONDS)
    assert ["t"] == (await keeper.cleanup_old_states()).removed
    clock.pass_seconds(27.9 * DAY_SECONDS)
    assert 0 == (await keeper.cleanup_old_states()).quarantined
    clock.pass_seconds(0.2 * DAY_SECONDS)

    assert 1 == (await keeper.cleanup_old_states()).quarantined
    assert ["task-t-quarantine-2"] == [key for _, key, _ in await documents(place)]


async def place_is_empty(place: Store) -> None:
    """Wait until nothing is stored."""
    while await documents(place):  # noqa: ASYNC110 - a store has no event for it
        await asyncio.sleep(0.01)


class _Outage(FaultyStore):
    """Does not list for a while, for whatever reason."""

    def __init__(self, store: Store, error: Exception) -> None:
        super().__init__(store)
        self.is_down = True
        self._error = error

    async def before(self, operation: str, kind: str) -> None:
        if operation == "list" and self.is_down:
            raise self._error


@pytest.mark.parametrize("error", [StoreUnavailable("down"), RuntimeError("a defect")], ids=repr)
async def test_the_cleanup_task_goes_on_after_a_failure(
    error: Exception,
    place: Store,
    keeper: StateManager,
    clock: SteppedClock,
    manage: Manage,
    *,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """About every six hours, not all replicas at once, and each failure is logged; until it is cancelled."""
    await end_task(keeper, "t")
    outage = _Outage(place, error)
    cleaner = manage(outage, clock=clock)
    work = cleaner.start_cleanup_task()
    await clock.until_slept(3 * DAY_SECONDS)
    assert not work.done()
    outage.is_down = False
    await asyncio.wait_for(place_is_empty(place), 30)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    pauses = clock.slept_seconds[1:]
    assert "the cleanup failed" in caplog.text
    assert str(error) in caplog.text
    assert all(5.4 * 3600 <= pause <= 6.6 * 3600 for pause in pauses)
    assert len(set(pauses)) > 1
    with pytest.raises(StateError):
        await keeper.restore("t")


async def test_a_cancelled_cleanup_task_ends_at_once_and_cleanly(
    place: Store, keeper: StateManager, clock: SteppedClock, manage: Manage
) -> None:
    """In the midst of a round too: no write is left under way, and the next cleanup does the rest."""
    await end_task(keeper, "t", findings=100)
    await keeper.delete("t", reason="x")
    clock.pass_seconds(2 * DAY_SECONDS)
    never = Fault(is_done=False, error=None, until=asyncio.Event())
    stuck = FaultyStore(
        place, lambda operation, kind: never if (operation, kind) == ("delete", CHUNK) else None
    )
    work = manage(stuck, clock=clock).start_cleanup_task()
    await eventually(lambda: stuck.calls["delete chunk"] > 0)
    work.cancel()
    await asyncio.wait([work], timeout=5)

    assert work.cancelled()
    assert ["t"] == (await keeper.cleanup_old_states()).removed
    assert [] == await documents(place)

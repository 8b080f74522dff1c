"""Each operation counts once, whatever becomes of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from clocks import SteppedClock
from faulty_store import (
    CONFLICT,
    DOWN,
    FULL,
    HANG,
    LOST_ANSWER,
    SILENT,
    Fault,
    FaultyStore,
    at_random,
    in_turn,
)
from states import entry, holder

from mendloop.core import commands
from mendloop.core.commits import COMMITS_KEPT, SEAL_BATCH
from mendloop.core.errors import (
    LeaseHeld,
    MaxIterationsReached,
    OutcomeUnknown,
    StateExists,
    StateNotFound,
    StoreFull,
    StoreUnavailable,
    ValidationError,
)
from mendloop.core.model import Settings
from mendloop.manager import StateManager

Manage = Callable[..., StateManager]
_MANY = Settings(max_iterations=10_000)


async def until_answered(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Send the same again until the store has answered."""
    while True:
        try:
            return await ask()
        except (OutcomeUnknown, StoreUnavailable):
            continue


@pytest.mark.parametrize(
    ("faults", "rate"),
    [((LOST_ANSWER,), 0.5), ((DOWN,), 0.5), ((LOST_ANSWER, SILENT, DOWN, CONFLICT), 0.6)],
    ids=["lost", "down", "mixed"],
)
async def test_each_of_many_operations_counts_once(
    store: FaultyStore,
    manage: Manage,
    scaled: Callable[[int, int], int],
    faults: tuple[Fault, ...],
    rate: float,
) -> None:
    """Sent again with its operation id until it is answered, each increment counts once."""
    count = scaled(2000, 200)
    first = manage(store, clock=SteppedClock())
    await first.create_task("t", settings=_MANY)
    store.choose = at_random(faults, rate=rate, seed=7)
    hurried = {"clock": SteppedClock(), "deadline_seconds": 0.03}
    managers = [manage(store, **hurried) for _ in range(3)]

    async def send(number: int) -> int:
        turns = iter(range(10**6))

        async def ask() -> int:
            chosen = managers[next(turns) % len(managers)]
            return await chosen.increment_iteration("t", op_id=f"op{number}")

        return int(await until_answered(ask))

    numbers = []
    for start in range(0, count, 4):
        numbers += await asyncio.gather(*(send(start + n) for n in range(4)))
    assert list(range(1, count + 1)) == sorted(numbers)
    store.choose = lambda _operation, _kind: None
    assert count == await first.get_current_iteration("t")


async def test_findings_are_delivered_once(store: FaultyStore, manager: StateManager) -> None:
    """A delivery whose answer is lost, sent again, adds nothing."""
    await manager.create_task("t")
    store.choose = in_turn([LOST_ANSWER])
    assert 1 == (await manager.append_feedback("t", entry("c1"), op_id="d1"))["new"]
    assert 1 == (await manager.append_feedback("t", entry("c1"), op_id="d1"))["new"]
    assert ["c1"] == [e.pr_comment_id for e in await manager.get_feedback_history("t")]


async def test_a_lost_answer_is_settled_within_the_call(
    store: FaultyStore, manager: StateManager
) -> None:
    """The caller sees its number, and the counter moved by one, also without an operation id."""
    await manager.create_task("t")
    store.choose = in_turn([LOST_ANSWER, None, LOST_ANSWER, DOWN, SILENT, CONFLICT])
    assert [1, 2, 3] == [await manager.increment_iteration("t") for _ in range(3)]
    assert 3 == await manager.get_current_iteration("t")


async def test_a_create_whose_answer_is_lost_is_no_conflict_with_itself(
    store: FaultyStore, manager: StateManager
) -> None:
    """The creator that won is told so; the next one is told StateExists."""
    store.choose = in_turn([LOST_ANSWER])
    await manager.create_task("t", op_id="mine")
    await manager.create_task("t", op_id="mine")
    with pytest.raises(StateExists):
        await manager.create_task("t")


async def test_the_refusal_of_a_spent_limit_is_repeated(
    store: FaultyStore, manager: StateManager
) -> None:
    """The same id again gets the same refusal, also after the limit was raised."""
    await manager.increment_iteration("t", max_iterations=1)
    store.choose = in_turn([LOST_ANSWER])
    for _ in range(2):
        with pytest.raises(MaxIterationsReached):
            await manager.increment_iteration("t", op_id="spent")
    await manager.resume("t", max_iterations=5)
    with pytest.raises(MaxIterationsReached):
        await manager.increment_iteration("t", op_id="spent")
    assert 2 == await manager.increment_iteration("t")


@pytest.mark.parametrize("commits", [0, 1, 20, 40, 130, 700])
async def test_the_same_id_gets_the_first_result_however_long_after(
    store: FaultyStore, manage: Manage, commits: int
) -> None:
    """From the head or from a sealed chunk, in this process or in a new one."""
    manager = manage(store)
    await manager.create_task("t", settings=_MANY)
    first = await manager.increment_iteration("t", op_id="webhook-1")
    for _ in range(commits):
        await manager.increment_iteration("t")
    for asked in (manager, manage(store)):
        assert first == await asked.increment_iteration("t", op_id="webhook-1")
    assert commits + 1 == await manager.get_current_iteration("t")


async def test_an_id_is_not_taken_for_another_command(manager: StateManager) -> None:
    """An operation id that named an increment cannot name an append."""
    await manager.increment_iteration("t", op_id="o1")
    with pytest.raises(ValidationError, match="o1"):
        await manager.append_feedback("t", entry(), op_id="o1")
    for _ in range(140):
        await manager.increment_iteration("t", max_iterations=1000)
    with pytest.raises(ValidationError, match="o1"):
        await manager.append_feedback("t", entry(), op_id="o1")


@pytest.mark.parametrize("op_id", ["", "x" * 129, "a\nb", "\ud800", "\x1b[31m"])
async def test_an_id_that_could_not_be_kept_is_refused(manager: StateManager, op_id: str) -> None:
    """Operation ids are short and printable."""
    with pytest.raises(ValidationError):
        await manager.increment_iteration("t", op_id=op_id)
    assert await manager.get_state("t") is None


@pytest.mark.parametrize("fault", [LOST_ANSWER, SILENT])
async def test_silence_past_the_deadline_is_unknown_and_asking_again_settles_it(
    store: FaultyStore, manage: Manage, fault: Fault
) -> None:
    """The error names the operation id; the same id again counts once, landed or not."""
    manager = manage(store, clock=SteppedClock(), deadline_seconds=3.0)
    await manager.create_task("t")
    is_first = True

    def fall_silent(operation: str, _kind: str) -> Fault | None:
        nonlocal is_first
        if operation == "get" and is_first:
            return None
        answer = fault if is_first else SILENT
        is_first = False
        return answer

    store.choose = fall_silent
    with pytest.raises(OutcomeUnknown) as caught:
        await manager.increment_iteration("t", op_id="o1")
    assert "o1" == caught.value.op_id
    assert caught.value.retryable
    store.choose = lambda _operation, _kind: None
    assert 1 == await manager.increment_iteration("t", op_id="o1")
    assert 2 == await manager.increment_iteration("t", op_id="o2")


async def test_a_store_that_was_never_written_is_a_definite_failure(
    store: FaultyStore, manage: Manage
) -> None:
    """Where no write can have landed the error says that nothing was written, and so it is."""
    manager = manage(store, clock=SteppedClock())
    await manager.create_task("t")
    before = await manager.get_state("t")
    store.choose = lambda operation, _kind: None if operation == "get" else DOWN
    with pytest.raises(StoreUnavailable, match="this call wrote nothing"):
        await manager.increment_iteration("t")
    store.choose = lambda operation, _kind: None if operation == "get" else CONFLICT
    with pytest.raises(StoreUnavailable, match="this call wrote nothing"):
        await manager.increment_iteration("t")
    store.choose = lambda _operation, _kind: None
    assert before == await manager.get_state("t")


async def test_a_full_store_is_told_at_once_and_nothing_is_written(
    store: FaultyStore, manager: StateManager
) -> None:
    """An error that retrying does not help is not retried."""
    await manager.create_task("t")
    store.choose = in_turn([FULL])
    with pytest.raises(StoreFull):
        await manager.increment_iteration("t", op_id="o1")
    assert 1 == store.calls["replace head"]
    assert 0 == await manager.get_current_iteration("t")


async def test_a_definite_error_after_a_lost_answer_is_no_definite_failure(
    store: FaultyStore, manager: StateManager
) -> None:
    """Where an earlier try may have landed, a full disk does not mean that nothing was written."""
    await manager.create_task("t")
    store.choose = in_turn([SILENT, FULL])
    with pytest.raises(OutcomeUnknown, match="full"):
        await manager.increment_iteration("t", op_id="o1")
    assert 1 == await manager.increment_iteration("t", op_id="o1")


async def test_a_store_that_hangs_does_not_hang_its_callers(
    store: FaultyStore, manage: Manage
) -> None:
    """A call that is never answered ends after the deadline; then the outcome is unknown."""
    patient, hurried = manage(store), manage(store, deadline_seconds=0.3)
    await patient.create_task("t")
    store.choose = in_turn([HANG])
    with pytest.raises(OutcomeUnknown):
        await hurried.increment_iteration("t", op_id="o1")
    assert 1 == await patient.increment_iteration("t", op_id="o1")
    store.choose = lambda operation, _kind: HANG if operation == "get" else None
    with pytest.raises(StoreUnavailable, match="this call wrote nothing"):
        await hurried.pause("nowhere", reason="r")


async def test_a_conflict_is_decided_again(store: FaultyStore, manage: Manage) -> None:
    """After somebody else wrote, the answer rests on what is there now."""
    one, other = manage(store), manage(store)
    await one.create_task("t", settings=_MANY)
    numbers = await asyncio.gather(
        *(m.increment_iteration("t") for m in (one, other) for _ in range(30))
    )
    assert list(range(1, 61)) == sorted(numbers)


async def test_an_answer_without_a_write_rests_on_a_fresh_read(
    store: FaultyStore, manage: Manage
) -> None:
    """What this process wrote last is not taken for what is there."""
    one, other = manage(store), manage(store)
    await one.increment_iteration("t", max_iterations=1)
    await other.stop("t", reason="enough")
    with pytest.raises(Exception, match="has ended"):
        await one.increment_iteration("t")
    await other.resume("t", max_iterations=9)
    await one.increment_iteration("t")
    await other.append_feedback("t", entry("c1"))
    assert 1 == (await one.append_feedback("t", entry("c1")))["known"]
    await one.increment_iteration("t", max_iterations=3)
    await other.resume("t", max_iterations=9)
    assert 4 == await one.increment_iteration("t")


async def test_a_task_deleted_behind_the_cache_is_not_found(
    store: FaultyStore, manager: StateManager
) -> None:
    """Our own last write does not bring a task back."""
    await manager.increment_iteration("t")
    document = await store.get("head", "task-t-state")
    assert document is not None
    await store.delete(document)
    with pytest.raises(StateNotFound):
        await manager.pause("t", reason="r")
    assert 1 == await manager.increment_iteration("t")


async def test_one_write_and_no_read_where_nobody_else_writes(
    store: FaultyStore, manager: StateManager
) -> None:
    """An increment after our own write needs no read."""
    await manager.increment_iteration("t")
    before = store.calls.copy()
    for _ in range(5):
        await manager.increment_iteration("t")
    assert {"replace head": 5} == dict(store.calls - before)


async def test_results_are_the_callers_own(manager: StateManager) -> None:
    """What a caller does with its result does not reach what is stored."""
    command = commands.AppendFeedback(entries=(entry("c1"),))
    await manager.create_task("t")
    first = await manager.submit("t", command, op_id="o1")
    first["ids"].append("mine")
    again = await manager.submit("t", command, op_id="o1")
    again["ids"].append("mine")
    again["new"] = 99
    await manager.increment_iteration("t")
    assert {
        "new": 1,
        "known": 0,
        "edited": 0,
        "outdated": 0,
        "ids": ["c1"],
    } == await manager.submit("t", command, op_id="o1")


async def test_a_lost_answer_is_settled_though_its_commit_was_sealed_meanwhile(
    store: FaultyStore, manage: Manage
) -> None:
    """Without an operation id too: the commit is found in the chunks, and not decided anew."""
    other = manage(store)
    await other.create_task("t", settings=_MANY)
    clock = SteppedClock()

    async def work_meanwhile(_seconds: float) -> None:
        store.choose = lambda _operation, _kind: None
        for _ in range(3 * COMMITS_KEPT):
            await other.increment_iteration("t")

    clock.sleep = work_meanwhile  # type: ignore[method-assign]
    store.choose = in_turn([LOST_ANSWER])
    assert 1 == await manage(store, clock=clock).increment_iteration("t")
    assert 1 + 3 * COMMITS_KEPT == await other.get_current_iteration("t")


async def test_what_was_done_long_ago_is_known_by_the_sealed_history(
    store: FaultyStore, manage: Manage
) -> None:
    """An answer is lost, and others write until the head knows nothing of it: it is not done twice."""
    silence = asyncio.Event()
    lost = msgspec.structs.replace(LOST_ANSWER, until=silence)
    one, other = manage(FaultyStore(store, in_turn([lost])), deadline_seconds=60.0), manage(store)
    await other.create_task("t", settings=_MANY)
    asking = asyncio.create_task(one.increment_iteration("t"))
    while not await other.get_current_iteration("t"):  # noqa: ASYNC110 - a store has no event for it
        await asyncio.sleep(0.01)
    for number in range(2, 2 + 2 * (COMMITS_KEPT + SEAL_BATCH)):
        assert number == await other.increment_iteration("t")
    silence.set()

    assert 1 == await asking
    assert number == await other.get_current_iteration("t")


async def test_each_generation_of_the_lease_has_one_record(
    store: FaultyStore, manage: Manage, scaled: Callable[[int, int], int]
) -> None:
    """Taken over by one of three at once, again and again: each that won is told once, and no other."""
    first = manage(store, clock=SteppedClock())
    await first.create_task("t")
    store.choose = at_random((LOST_ANSWER, SILENT, DOWN, CONFLICT), rate=0.5, seed=11)
    hurried = {"clock": SteppedClock(), "deadline_seconds": 0.03}
    managers = [manage(store, **hurried) for _ in range(3)]

    async def take(name: str, mark: tuple[int, int], number: int) -> int | None:
        command = commands.AcquireLease(
            holder=holder(name), ttl_seconds=30.0, boottime_seconds=1.0, abandoned=mark
        )
        turns = iter(range(number, 10**6))

        async def ask() -> Any:
            return await managers[next(turns) % 3].submit("t", command, op_id=name)

        try:
            return int((await until_answered(ask))["generation"])
        except LeaseHeld:
            return None

    won: list[int] = []
    for turn in range(scaled(100, 15)):
        lease = (await until_answered(lambda: first.require_state("t"))).ledger.lease
        mark = (lease.generation, lease.renewals)
        taken = await asyncio.gather(*(take(f"{turn}-{n}", mark, n) for n in range(3)))
        won += [generation for generation in taken if generation is not None]
    store.choose = lambda _operation, _kind: None
    told = [
        change.facts["generation"]
        async for commit in first.commits(await first.require_state("t"))
        for change in commit.changes
        if change.do == "acquire_lease"
    ]

    assert list(range(1, scaled(100, 15) + 1)) == won == told

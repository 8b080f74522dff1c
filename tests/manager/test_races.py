"""Several processes on one file: each number to one caller, in an order that time allows."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faulty_store import LOST_ANSWER, Fault, FaultyStore, at_random
from histories import Event, violations

from mendloop.core.errors import StoreUnavailable
from mendloop.core.model import Ledger, Settings
from mendloop.manager import StateManager

RACER = Path(__file__).parents[1] / "support" / "racer.py"
Manage = Callable[..., StateManager]


async def race(path: Path, *, processes: int, count: int, kind: str) -> list[Event]:
    """Let processes start together; each must end well and print nothing to standard error."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(RACER),
            str(path),
            str(who),
            str(count),
            kind,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for who in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        assert b"ready\n" == await process.stdout.readline()
    told = await asyncio.gather(*(process.communicate(b"go\n") for process in started))
    assert [b""] * processes == [errors for _, errors in told]
    assert [0] * processes == [process.returncode for process in started]
    decoder = msgspec.json.Decoder(Event)
    return [event for printed, _ in told for event in decoder.decode_lines(printed)]


async def test_eight_processes_get_each_number_once(
    manager: StateManager, path: Path, scaled: Callable[[int, int], int]
) -> None:
    """All that were asked for are acknowledged, each once, in an order that time allows."""
    count = scaled(500, 50)
    await manager.create_task("t", settings=Settings(max_iterations=10_000))
    events = await race(path, processes=8, count=count, kind="increment")
    assert list(range(1, 8 * count + 1)) == sorted(event.number for event in events)
    assert [] == violations(events)
    assert 8 * count == await manager.get_current_iteration("t")


async def test_reads_between_increments_are_never_old(
    manager: StateManager, path: Path, scaled: Callable[[int, int], int]
) -> None:
    """A read tells at least what was acknowledged before it began."""
    await manager.create_task("t", settings=Settings(max_iterations=10_000))
    events = await race(path, processes=4, count=scaled(300, 30), kind="read")
    assert [] == violations(events)
    assert any(event.is_read for event in events)


async def test_findings_of_four_processes_all_arrive_in_order(
    manager: StateManager, path: Path, scaled: Callable[[int, int], int]
) -> None:
    """Each once, in one order for all, and nobody's later one before an earlier."""
    count = scaled(150, 20)
    await manager.create_task("t")
    events = await race(path, processes=4, count=count, kind="append")
    history = [entry.pr_comment_id for entry in await manager.get_feedback_history("t")]
    places = {name: place for place, name in enumerate(history, 1)}
    assert 4 * count == len(places) == len(history)
    placed = [
        msgspec.structs.replace(event, number=places[f"{event.who}-{event.number}"])
        for event in events
    ]
    assert [] == violations(placed)


async def test_histories_with_lost_answers_are_linearizable(
    open_store: Callable[[], Awaitable[Any]], manage: Manage, scaled: Callable[[int, int], int]
) -> None:
    """Managers whose answers go missing still see one counter."""
    loop = asyncio.get_running_loop()
    for seed in range(scaled(200, 5)):
        task_id = f"t{seed}"
        stores = [
            FaultyStore(
                await open_store(), at_random((LOST_ANSWER, _SLOW), rate=0.1, seed=seed + n)
            )
            for n in range(2)
        ]
        managers = [manage(store) for store in stores for _ in range(2)]
        await managers[0].create_task(task_id, settings=Settings(max_iterations=1000))

        async def work(manager: StateManager, task_id: str = task_id) -> list[Event]:
            seen = []
            for turn in range(25):
                is_read = turn % 4 == 3
                began = loop.time()
                ask = manager.get_current_iteration if is_read else manager.increment_iteration
                number = await _patiently(ask, task_id)
                seen.append(Event(int(began * 1e9), int(loop.time() * 1e9), number, is_read))
            return seen

        told = await asyncio.gather(*(work(manager) for manager in managers for _ in range(4)))
        assert [] == violations(event for events in told for event in events)
        for store in stores:
            await store.close()


_SLOW = Fault(is_done=True, error=None, delay_seconds=0.001)


async def _patiently(ask: Callable[[str], Awaitable[int]], task_id: str) -> int:
    """Reads are not retried by the manager: the caller does."""
    while True:
        try:
            return await ask(task_id)
        except StoreUnavailable:
            continue


async def test_every_commit_is_kept_over_processes(
    manager: StateManager, path: Path, scaled: Callable[[int, int], int]
) -> None:
    """The history of a race has each operation of each process once, in rising commits."""
    count = scaled(200, 30)
    await manager.create_task("t", settings=Settings(max_iterations=10_000))
    await race(path, processes=4, count=count, kind="increment")
    state = await manager.get_state("t")
    assert state is not None
    assert isinstance(state.mendloop, Ledger)
    commits = [commit async for commit in manager.commits(state)]
    assert list(range(1, state.mendloop.commit + 1)) == [commit.number for commit in commits]
    done = [change.op_id for commit in commits for change in commit.changes][1:]
    assert sorted(f"{who}-{turn}" for who in range(4) for turn in range(count)) == sorted(done)


def events(*rows: tuple[int, int, int] | tuple[int, int, int, bool]) -> list[Event]:
    """Histories in short."""
    return [Event(*row) for row in rows]


@pytest.mark.parametrize(
    ("history", "is_right"),
    [
        (events((0, 1, 1), (2, 3, 2), (4, 5, 3)), True),
        (events((0, 5, 2), (1, 4, 1), (2, 3, 3)), True),
        (events((0, 1, 1), (2, 3, 1)), False),
        (events((0, 1, 1), (2, 3, 3)), False),
        (events((0, 1, 2), (2, 3, 1)), False),
        (events((0, 1, 1), (2, 3, 0, True)), False),
        (events((0, 1, 1), (0, 3, 0, True)), True),
        (events((0, 1, 1, True), (2, 3, 1)), False),
        (events((0, 1, 1), (2, 3, 2), (4, 5, 2, True), (6, 7, 1, True)), False),
        (events((0, 9, 1), (1, 2, 1, True), (3, 4, 1, True)), True),
    ],
)
def test_the_checker_tells_right_histories_from_wrong(
    history: list[Event], *, is_right: bool
) -> None:
    """Given twice, to nobody, out of order, read too old or too early: each is found."""
    assert is_right == (violations(history) == [])

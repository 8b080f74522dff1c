"""The specification's operations, as a caller of the library sees them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from faulty_store import FaultyStore
from states import entry, state

from mendloop.core.codec import encode_state
from mendloop.core.errors import (
    DeserializationError,
    MaxIterationsReached,
    ReadOnlyState,
    RevisionConflict,
    StateExists,
    StateNotFound,
    ValidationError,
)
from mendloop.core.model import RemediationState, Settings
from mendloop.core.names import HEAD, head_name
from mendloop.core.vocabulary import Status
from mendloop.listing import Listed
from mendloop.manager import StateManager

Manage = Callable[..., StateManager]

_NAMELESS = """
import asyncio
import contextlib
import os
from mendloop.manager import StateManager
os.setuid(54321)
print(StateManager(None)._by)
"""


async def test_a_task_that_is_not_there_has_no_state(manager: StateManager) -> None:
    """Reading what is not there is no error; changing it is."""
    assert await manager.get_state("t") is None
    assert 0 == await manager.get_current_iteration("t")
    assert () == await manager.get_feedback_history("t")
    with pytest.raises(StateNotFound):
        await manager.append_feedback("t", entry())


async def test_the_limit_is_ten_and_can_be_set_for_each_task(manager: StateManager) -> None:
    """Ten by default; another from the increment that names it on."""
    for number in range(1, 11):
        assert number == await manager.increment_iteration("t")
    with pytest.raises(Exception, match="spent its 10"):
        await manager.increment_iteration("t")
    await manager.create_task("u", settings=Settings(max_iterations=2))
    await manager.increment_iteration("u")
    await manager.increment_iteration("u", max_iterations=3)
    assert 3 == await manager.increment_iteration("u")


async def test_a_call_that_changed_nothing_is_decided_anew(manager: StateManager) -> None:
    """A refusal leaves nothing to remember; what was given or written is told again for ever."""
    assert 1 == await manager.increment_iteration("t", max_iterations=1)
    for op_id in ("ends-it", "changes-nothing"):
        with pytest.raises(MaxIterationsReached):
            await manager.increment_iteration("t", op_id=op_id)
    await manager.resume("t", max_iterations=5)

    assert 2 == await manager.increment_iteration("t", op_id="changes-nothing")
    assert 2 == await manager.increment_iteration("t", op_id="changes-nothing")
    with pytest.raises(MaxIterationsReached):
        await manager.increment_iteration("t", op_id="ends-it")


async def test_a_whole_state_is_taken_once(manager: StateManager, manage: Manage) -> None:
    """The first to write what it read wins; the second is told to read again."""
    await manager.create_or_update_state(state(metadata={"owner": "ann"}))
    with pytest.raises(StateExists):
        await manager.create_or_update_state(state())
    read = await manager.get_state("t")
    assert read is not None
    await manager.increment_iteration("t")
    with pytest.raises(RevisionConflict):
        await manager.create_or_update_state(read)
    assert {"owner"} < set((await manager.get_state("t") or read).metadata)


@pytest.mark.parametrize(
    "task_id", ["", "a/b", "..", "a b", "A", "x" * 64, "-a", "a-", "é", "a\n", "a..b", "a_b"]
)
async def test_a_task_id_that_no_store_can_name_is_refused(
    manager: StateManager, task_id: str
) -> None:
    """Every operation refuses it, with words, and before it touches the store."""
    for ask in (manager.get_state, manager.increment_iteration, manager.create_task):
        with pytest.raises(ValidationError):
            await ask(task_id)
    with pytest.raises(ValidationError):
        await manager.create_or_update_state(state(task_id))


@pytest.mark.damages
async def test_tasks_are_listed_by_id_a_page_at_a_time(
    store: FaultyStore, manager: StateManager
) -> None:
    """One that cannot be read is listed with its reason."""
    for task_id in ("b", "a", "c"):
        await manager.create_task(task_id)
    await store.create("head", "task-d-state", b"{", labels={"task-id": "d"})
    page = await manager.list_tasks(limit=2)
    rest = await manager.list_tasks(limit=2, cursor=page.cursor)
    tasks = [*page.tasks, *rest.tasks]
    assert ["a", "b", "c", "d"] == [listed.task_id for listed in tasks]
    assert [True, True, True, False] == [listed.state is not None for listed in tasks]
    assert isinstance(tasks[3].problem, DeserializationError)


def operations(manager: StateManager, read: RemediationState) -> list[Callable[[], object]]:
    """Everything that can be asked for."""
    return [
        lambda: manager.get_state("t"),
        lambda: manager.create_task("t"),
        lambda: manager.create_or_update_state(read),
        lambda: manager.increment_iteration("t"),
        lambda: manager.get_current_iteration("t"),
        lambda: manager.append_feedback("t", entry()),
        lambda: manager.get_feedback_history("t"),
        lambda: manager.pause("t", reason="r"),
        lambda: manager.resume("t"),
        lambda: manager.stop("t", reason="r"),
    ]


@pytest.mark.parametrize("kind", ["newer", "unknown status", "damaged"])
@pytest.mark.damages
async def test_what_cannot_be_read_is_left_as_it_is(
    store: FaultyStore, manager: StateManager, kind: str
) -> None:
    """A newer or damaged task is refused by every operation, and not a byte of it changes."""
    raw = {
        "newer": encode_state(state(version="v2")),
        "unknown status": encode_state(state()).replace(b"Initialized", b"Sleeping"),
        "damaged": encode_state(state())[:-9],
    }[kind]
    expected = DeserializationError if kind == "damaged" else ReadOnlyState
    await store.create("head", "task-t-state", raw, labels={"task-id": "t"})
    for ask in operations(manager, state()):
        with pytest.raises(expected) as caught:
            await ask()  # type: ignore[misc]
        assert "t" == caught.value.task_id
    document = await store.get("head", "task-t-state")
    assert document is not None
    assert raw == document.body


async def test_a_managers_own_writes_are_what_others_read(
    store: FaultyStore, manage: Manage
) -> None:
    """Two managers that take turns see each other's changes."""
    one, other = manage(store), manage(store)
    for number in range(1, 7):
        asked = one if number % 2 else other
        assert number == await asked.increment_iteration("t")
    assert Status.IN_PROGRESS is (await one.get_state("t") or state()).status


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_a_name_is_named_by_number() -> None:
    """In a container with an unknown user id the manager works all the same."""
    done = subprocess.run(
        [sys.executable, "-c", _NAMELESS], env={}, capture_output=True, text=True, check=False
    )
    assert ("uid 54321", "") == (done.stdout.strip(), done.stderr)


async def test_names_that_no_text_can_hold_do_no_harm(store: FaultyStore, manage: Manage) -> None:
    """A user name of odd bytes is cleaned like any text."""
    manager = manage(store, by="\udcff\x1b[31mann")
    await manager.increment_iteration("t")
    await manager.pause("t", reason="\ud800 lunch")
    assert 1 == await manager.get_current_iteration("t")


async def test_all_tasks_are_watched_and_damage_and_ends_are_told(
    manager: StateManager, store: FaultyStore
) -> None:
    """First what is there, then each change; one that cannot be read says why, one that is gone too."""
    await manager.create_task("a")
    seen: asyncio.Queue[Listed] = asyncio.Queue()

    async def watch() -> None:
        async with contextlib.aclosing(manager.watch_tasks()) as tasks:
            async for task in tasks:
                seen.put_nowait(task)

    watching = asyncio.create_task(watch())
    first = await asyncio.wait_for(seen.get(), 10)
    assert ("a", 0) == (first.task_id, first.state.iteration if first.state else None)
    await manager.increment_iteration("a")
    second = await asyncio.wait_for(seen.get(), 10)
    assert second.state == await manager.get_state("a")
    document = await store.get(HEAD, head_name("a"))
    assert document is not None
    damaged = await store.replace(document, b"{")
    third = await asyncio.wait_for(seen.get(), 10)
    assert isinstance(third.problem, DeserializationError)
    await store.delete(damaged)
    assert Listed("a", None) == await asyncio.wait_for(seen.get(), 10)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

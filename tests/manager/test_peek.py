"""What a store has seen may start a write; it never replaces the version check, nor a fresh read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest
from faulty_store import FaultyStore

from mendloop.core.errors import DeserializationError, MaxIterationsReached, StateExists
from mendloop.core.model import Settings
from mendloop.manager import StateManager
from mendloop.stores.port import Document, Store

OpenStore = Callable[[], Awaitable[Store]]
Manage = Callable[..., StateManager]
_HEAD = ("head", "task-t-state")


class SeeingStore(FaultyStore):
    """Has seen what a test says."""

    seen: Document | None = None

    def peek(self, kind: str, key: str) -> Document | None:
        return self.seen if self.seen and (kind, key) == _HEAD else None

    def asked(self) -> tuple[int, int]:
        """How many heads were read and replaced since the last time."""
        counts = self.calls["get head"], self.calls["replace head"]
        self.calls.clear()
        return counts


@pytest.fixture
async def store(open_store: OpenStore) -> SeeingStore:
    """A store that has seen nothing yet."""
    return SeeingStore(await open_store())


@pytest.fixture
async def others(open_store: OpenStore, manage: Manage) -> StateManager:
    """A manager elsewhere, on the same storage."""
    return manage(await open_store(), by="bea")


async def newest(store: FaultyStore) -> Document:
    document = await store.get(*_HEAD)
    assert document is not None
    store.calls.clear()
    return document


async def test_what_was_seen_saves_a_read(
    store: SeeingStore, manager: StateManager, others: StateManager
) -> None:
    """A write starts from the newest that is known, another's write among it."""
    await manager.increment_iteration("t")
    await others.increment_iteration("t")
    store.seen = await newest(store)
    assert 3 == await manager.increment_iteration("t")
    assert (0, 1) == store.asked()


async def test_what_has_passed_costs_a_conflict_and_nothing_else(
    store: SeeingStore, manager: StateManager, others: StateManager
) -> None:
    """A decision on what is no longer so is refused by the store and taken again."""
    await others.increment_iteration("t")
    store.seen = await newest(store)
    for number in range(2, 6):
        assert number == await others.increment_iteration("t")
    assert 6 == await manager.increment_iteration("t")
    assert (1, 2) == store.asked()


async def test_an_answer_without_a_write_rests_on_a_fresh_read(
    store: SeeingStore, manager: StateManager, others: StateManager
) -> None:
    """Neither a limit that was raised since nor a task that was deleted is answered from memory."""
    await others.create_task("t", settings=Settings(max_iterations=1))
    await others.increment_iteration("t")
    with pytest.raises(MaxIterationsReached):
        await others.increment_iteration("t")
    store.seen = await newest(store)
    await others.resume("t", max_iterations=5)
    assert 2 == await manager.increment_iteration("t")

    store.seen = await newest(store)
    with pytest.raises(StateExists):
        await manager.create_task("t")
    await store.delete(store.seen)
    await manager.create_task("t")
    assert 0 == await manager.get_current_iteration("t")


@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.damages
async def test_damage_that_was_seen_is_confirmed_by_a_read(
    store: SeeingStore, manager: StateManager, is_damaged: bool
) -> None:
    """Bytes that cannot be read count only if they are still what is stored."""
    await manager.increment_iteration("t")
    document = await newest(store)
    store.seen = msgspec.structs.replace(document, revision="999", body=b"{")
    if is_damaged:
        store.seen = await store.replace(document, b"{")
        with pytest.raises(DeserializationError):
            await manager.increment_iteration("t")
    else:
        assert 2 == await manager.increment_iteration("t")


async def test_a_cached_state_is_the_one_that_was_seen(
    store: SeeingStore, manager: StateManager, others: StateManager
) -> None:
    """Nothing is known before something was seen; then the newest that was, decoded once."""
    assert manager.cached_state("t") is None
    for number in (1, 2):
        await others.increment_iteration("t")
        store.seen = await newest(store)
        first = manager.cached_state("t")
        assert first is manager.cached_state("t")
        assert first is not None
        assert number == first.iteration
    assert (0, 0) == store.asked()

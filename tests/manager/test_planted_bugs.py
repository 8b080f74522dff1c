"""The checks of this suite find what they are for: each planted fault, within twenty tries."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from drive import report
from faulty_store import LOST_ANSWER, FaultyStore, at_random
from histories import Event, violations
from msgspec.structs import replace
from simple_manager import FAULTS, SimpleManager
from states import entry, holder

from mendloop.core import commands
from mendloop.core.errors import LeaseLost, StateError, StateExists
from mendloop.core.model import Ledger, Settings
from mendloop.core.vocabulary import StepKind
from mendloop.manager import StateManager
from mendloop.stores.port import Document, Store

Make = Callable[[Store], Any]
Check = Callable[[Make, Store, str, random.Random], Awaitable[None]]
_TRIES = 20


class RealManager(StateManager):
    """The product's manager, with the few words that the checks use."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, by="ann", deadline_seconds=10.0)

    async def create_task(self, task_id: str, **_options: Any) -> None:  # type: ignore[override]
        await super().create_task(task_id, settings=Settings(max_iterations=10_000))

    async def deliver(self, task_id: str, comment_id: str, text: str) -> None:
        await self.append_feedback(task_id, entry(comment_id, description=text))

    async def review(self, task_id: str, names: list[str]) -> None:
        generation = await self.take_lease(task_id)
        await self.submit(task_id, commands.Increment(generation=generation))
        review = commands.RecordReview(generation=generation, reports=(report(*names),))
        for kind in (StepKind.REVIEW, StepKind.FIX):
            begin = commands.BeginStep(generation=generation, kind=kind, tree="x")
            try:
                await self.submit(task_id, begin)
            except StateError:
                continue
            if kind is StepKind.FIX:
                await self.submit(task_id, commands.RecordFix(generation=generation, tree="y"))
                begin = commands.BeginStep(generation=generation, kind=StepKind.REVIEW, tree="x")
                await self.submit(task_id, begin)
            await self.submit(task_id, review)
            break
        await self.submit(task_id, commands.ReleaseLease(generation=generation))

    async def open_ids(self, task_id: str) -> list[str]:
        history = await self.get_feedback_history(task_id)
        return [e.pr_comment_id for e in history if not e.resolved]

    async def all_ids(self, task_id: str) -> list[str]:
        return [e.pr_comment_id for e in await self.get_feedback_history(task_id)]

    async def put_iteration(self, task_id: str, iteration: int) -> None:
        state = await self.get_state(task_id)
        assert state is not None
        await self.create_or_update_state(replace(state, iteration=iteration))

    async def take_lease(self, task_id: str) -> int:
        state = await self.get_state(task_id)
        assert state is not None
        assert isinstance(state.mendloop, Ledger)
        lease = state.mendloop.lease
        command = commands.AcquireLease(
            holder=holder(f"t{lease.generation}"),
            ttl_seconds=30.0,
            boottime_seconds=1.0,
            abandoned=(lease.generation, lease.renewals),
        )
        return int((await self.submit(task_id, command))["generation"])

    async def increment_as(self, task_id: str, generation: int) -> None:
        await self.submit(task_id, commands.Increment(generation=generation))


async def check_numbers(make: Make, store: Store, task_id: str, dice: random.Random) -> None:
    """Increments and reads of several managers are those of one counter."""
    managers = [make(store) for _ in range(3)]
    await managers[0].create_task(task_id)
    loop = asyncio.get_running_loop()

    async def work(manager: Any, pauses: list[int]) -> list[Event]:
        seen = []
        for pause in pauses:
            for ask, is_read in (
                (manager.increment_iteration, False),
                (manager.get_current_iteration, True),
            ):
                began = loop.time()
                number = await ask(task_id)
                seen.append(Event(int(began * 1e9), int(loop.time() * 1e9), number, is_read))
                await asyncio.sleep(pause / 1e4)
        return seen

    pauses = [[dice.randrange(9) for _ in range(10)] for _ in managers]
    told = await asyncio.gather(*map(work, managers, pauses))
    assert [] == violations(event for events in told for event in events)


async def check_creators(make: Make, store: Store, task_id: str, dice: random.Random) -> None:
    """Of 16 creators one is told that it made the task."""

    async def create(pause: int) -> None:
        await asyncio.sleep(pause / 1e4)
        await make(store).create_task(task_id)

    told = await asyncio.gather(
        *(create(dice.randrange(20)) for _ in range(16)), return_exceptions=True
    )
    assert {"NoneType": 1, "StateExists": 15} == Counter(type(t).__name__ for t in told)
    with pytest.raises(StateExists):
        await make(store).create_task(task_id)


async def check_redelivery(make: Make, store: Store, task_id: str, dice: random.Random) -> None:
    """Deliveries in any order and number leave each comment once."""
    manager = make(store)
    await manager.create_task(task_id)
    deliveries = [f"c{n}" for n in range(8) for _ in range(dice.randint(1, 4))]
    dice.shuffle(deliveries)
    for comment_id in deliveries:
        await manager.deliver(task_id, comment_id, "text")
    assert sorted(set(deliveries)) == sorted(await manager.all_ids(task_id))


async def check_lost_answers(make: Make, store: Store, task_id: str, dice: random.Random) -> None:
    """Sent again with its operation id, what landed already counts once."""
    await make(store).create_task(task_id)
    faulty = FaultyStore(store, at_random((LOST_ANSWER,), rate=0.4, seed=dice.randrange(10**6)))
    choose = faulty.choose
    faulty.choose = lambda operation, kind: None if operation == "get" else choose(operation, kind)
    manager = make(faulty)
    for number in range(1, 16):
        assert number == await manager.increment_iteration(task_id, op_id=f"op{number}")


async def check_counter(make: Make, store: Store, task_id: str, dice: random.Random) -> None:
    """Whatever whole state is written, the counter does not fall."""
    manager = make(store)
    await manager.create_task(task_id)
    highest = 0
    for _ in range(6):
        highest = await manager.increment_iteration(task_id)
        try:
            await manager.put_iteration(task_id, dice.randrange(2 * highest))
        except StateError:
            assert highest == await manager.get_current_iteration(task_id)
        assert highest <= await manager.get_current_iteration(task_id)


async def check_lease(make: Make, store: Store, task_id: str, dice: random.Random) -> None:
    """Only the last to take the lease can write."""
    manager = make(store)
    await manager.create_task(task_id)
    first = await manager.take_lease(task_id)
    await manager.increment_as(task_id, first)
    second = await manager.take_lease(task_id)
    with pytest.raises(LeaseLost):
        await manager.increment_as(task_id, first)
    await manager.increment_as(task_id, second)
    assert 2 == await manager.get_current_iteration(task_id)


async def check_sources(make: Make, store: Store, task_id: str, dice: random.Random) -> None:
    """What a person found stays open, whatever a tool no longer reports."""
    manager = make(store)
    await manager.create_task(task_id)
    await manager.deliver(task_id, "person", "it breaks")
    await manager.review(task_id, ["a", "b"])
    await manager.review(task_id, ["b"])
    left = await manager.open_ids(task_id)
    assert "person" in left
    assert 2 == len(left)
    assert 3 == len(await manager.all_ids(task_id))


CHECKS: tuple[Check, ...] = (
    check_numbers,
    check_creators,
    check_redelivery,
    check_lost_answers,
    check_counter,
    check_lease,
    check_sources,
)


async def finding(make: Make, store: Store, *, tries: int) -> str:
    """The check that fails first within so many tries of each, or ""."""
    for number in range(tries):
        for check in CHECKS:
            task_id = f"{check.__name__.replace('_', '-')}-{number}"
            try:
                await check(make, store, task_id, random.Random(number))
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever shows it
                return check.__name__
    return ""


async def test_the_product_passes_every_check(store: FaultyStore) -> None:
    """What the checks ask for, the product does."""
    assert "" == await finding(RealManager, store, tries=3)


async def test_a_right_manager_passes_every_check(store: FaultyStore) -> None:
    """The checks do not ask for more than the promises."""
    assert "" == await finding(SimpleManager, store, tries=3)


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_planted_fault_is_found(store: FaultyStore, fault: str) -> None:
    """A manager with one fault fails at least one check within twenty tries."""

    def make(on: Store) -> SimpleManager:
        return SimpleManager(on, fault)

    assert await finding(make, store, tries=_TRIES)


class UnversionedStore(FaultyStore):
    """Writes over whatever is there by then."""

    async def replace(self, document: Document, body: bytes, **beside: Any) -> Document:
        current = await self.get(document.kind, document.key)
        return await super().replace(current or document, body, **beside)


class UpsertingStore(FaultyStore):
    """Creates what is there already."""

    async def create(self, kind: str, key: str, body: bytes, **beside: Any) -> Document:
        current = await self.get(kind, key)
        if current is not None:
            return await super().replace(current, body, **beside)
        return await super().create(kind, key, body, **beside)


class ForgetfulStore(FaultyStore):
    """Acknowledges every fifth write without keeping it."""

    writes = 0

    async def replace(self, document: Document, body: bytes, **beside: Any) -> Document:
        self.writes += 1
        if self.writes % 5 == 0:
            return document
        return await super().replace(document, body, **beside)


class StaleStore(FaultyStore):
    """Now and then reads what was there a few reads ago."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._old: dict[str, Document | None] = {}
        self._reads = 0

    async def get(self, kind: str, key: str) -> Document | None:
        self._reads += 1
        if self._reads % 6 == 0 and key in self._old:
            return self._old[key]
        document = await super().get(kind, key)
        self._old.setdefault(key, document)
        return document


@pytest.mark.parametrize(
    "wrap", [UnversionedStore, UpsertingStore, ForgetfulStore, StaleStore], ids=lambda w: w.__name__
)
async def test_the_product_on_a_store_that_breaks_its_word_is_found(
    store: FaultyStore, wrap: Callable[[Store], Store]
) -> None:
    """A store that does not do what the port promises shows in the product's answers."""
    assert await finding(RealManager, wrap(store), tries=_TRIES)

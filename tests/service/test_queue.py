from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from clocks import SteppedClock
from faulty_store import DOWN, LOST_ANSWER, Fault, FaultyStore, in_turn
from patience import eventually

from mendloop.core.errors import DocumentExists, StoreUnavailable, ValidationError
from mendloop.core.names import QUEUE
from mendloop.service.metrics import Metrics
from mendloop.service.queue import Batch, DeliveryQueue, Item, read_batch
from mendloop.service.worker import Worker
from mendloop.stores.sqlite import open_sqlite

_LARGEST = b'"' + b"x" * (512 * 1024 - 2) + b'"'


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FaultyStore]:
    """An empty store whose faults a test chooses."""
    store = FaultyStore(await open_sqlite(tmp_path / "state.db"))
    yield store
    await store.close()


@pytest.fixture
def clock() -> SteppedClock:
    """Time that passes when the worker sleeps."""
    return SteppedClock()


@pytest.fixture
def queue(store: FaultyStore, clock: SteppedClock) -> DeliveryQueue:
    """A queue of one replica."""
    return DeliveryQueue(store, store, clock=clock)


class _Tasks:
    """Does what items ask for; an item fails for as long as its content has an error here."""

    def __init__(self) -> None:
        self.errors: dict[bytes, Exception] = {}
        self.tries: Counter[bytes] = Counter()

    async def process(self, item: Item) -> str:
        content = bytes(item.content)
        self.tries[content] += 1
        if content in self.errors:
            raise self.errors[content]
        return "done"


@contextlib.contextmanager
def _running(worker: Worker, *, is_adopting: bool = True) -> Iterator[None]:
    parts = [asyncio.create_task(worker.run())]
    parts += [asyncio.create_task(worker.adopt())] if is_adopting else []
    yield
    for part in parts:
        part.cancel()


async def _stored(queue: DeliveryQueue) -> list[list[bytes]]:
    """The contents of what is queued, document by document."""
    batches = [read_batch(document) async for document in queue.stored()]
    return [[bytes(item.content) for item in batch.items] for batch in batches if batch]


async def _in_one_batch(queue: DeliveryQueue, store: FaultyStore, *contents: bytes) -> None:
    """Put what comes while a document is being written, so that the next one holds all of it."""
    written = asyncio.Event()
    store.choose = in_turn([Fault(is_done=True, error=None, until=written)], kind=QUEUE)
    first = asyncio.create_task(queue.put("github", b'"first"'))
    await eventually(lambda: store.calls[f"create {QUEUE}"] > 0)
    others = [asyncio.create_task(queue.put("github", content)) for content in contents]
    await asyncio.sleep(0)
    written.set()
    await asyncio.gather(first, *others)


async def test_what_comes_meanwhile_is_stored_together_and_fits_a_document(
    queue: DeliveryQueue, store: FaultyStore
) -> None:
    """What waits for a write shares the next one, but for what would make a document too large."""
    half = _LARGEST[: len(_LARGEST) // 2] + b'"'
    await _in_one_batch(queue, store, b"1", b"2", half, half, b"3")

    assert [[b'"first"'], [b"1", b"2", half], [half, b"3"]] == await _stored(queue)


async def test_what_no_document_can_hold_is_refused(queue: DeliveryQueue) -> None:
    """The largest item is stored, and one byte more is refused."""
    await queue.put("github", _LARGEST)
    with pytest.raises(ValidationError, match="at most 524288"):
        await queue.put("github", _LARGEST + b" ")

    assert [[_LARGEST]] == await _stored(queue)


@pytest.mark.parametrize("fault", [DOWN, LOST_ANSWER], ids=["not stored", "answer lost"])
async def test_a_store_that_fails_for_a_moment_is_asked_again(
    queue: DeliveryQueue, store: FaultyStore, fault: Fault
) -> None:
    """What a store that is away for three requests is asked to keep is there, once."""
    store.choose = in_turn([fault, DOWN, DOWN], kind=QUEUE)
    await queue.put("github", b"1")

    assert "" == queue.trouble
    assert [[b"1"]] == await _stored(queue)


async def test_a_store_that_stays_away_is_told_until_it_is_back(
    queue: DeliveryQueue, store: FaultyStore
) -> None:
    """Whoever sends is told that it was not stored, and so is who probes, until a write succeeds."""
    store.choose = in_turn([DOWN] * 5, kind=QUEUE)
    with pytest.raises(StoreUnavailable):
        await queue.put("github", b"1")
    assert "down" == queue.trouble
    await queue.try_again()

    assert "" == queue.trouble
    assert [] == await _stored(queue)


async def test_a_queue_is_closed_once_all_that_was_put_is_stored(
    queue: DeliveryQueue, store: FaultyStore
) -> None:
    """Whoever ends the service waits for what is being written, and for what waits behind it."""
    store.choose = in_turn([Fault(is_done=False, error=None, delay_seconds=0.2)], kind=QUEUE)
    puts = [asyncio.create_task(queue.put("github", content)) for content in (b"1", b"2")]
    await eventually(lambda: store.calls[f"create {QUEUE}"] > 0)
    puts.append(asyncio.create_task(queue.put("github", b"3")))
    await asyncio.sleep(0)
    await queue.close()

    assert [[b"1", b"2"], [b"3"]] == await _stored(queue)
    await asyncio.gather(*puts)


async def test_a_name_that_somebody_else_has_taken_is_no_answer(
    queue: DeliveryQueue, store: FaultyStore
) -> None:
    """What is found under the name after a lost answer is stored only where it is the same."""
    await queue.put("github", b"1")
    [first] = [document async for document in queue.stored()]
    await queue.settle(Batch(first, ()), ())
    name, _, number = first.key.rpartition("-")
    taken = f"{name}-{int(number) + 1}"
    await store.create(QUEUE, taken, b"[]")
    with pytest.raises(DocumentExists):
        await queue.put("github", b"2")

    assert [[]] == await _stored(queue)


async def test_what_is_not_processed_in_time_is_not_kept_in_memory(queue: DeliveryQueue) -> None:
    """Of what is stored and waits 32 MiB are remembered at most; the oldest is found in the store."""
    for _ in range(70):
        await queue.put("github", _LARGEST)
    remembered: list[Batch] = []
    with contextlib.suppress(TimeoutError):
        while True:
            remembered.append(await asyncio.wait_for(queue.next_fresh(), 0.1))

    assert 32 * 1024 * 1024 >= sum(len(batch.document.body) for batch in remembered)
    assert 60 < len(remembered)
    assert 70 == len(await _stored(queue))


async def test_of_a_batch_only_what_failed_is_tried_again(
    queue: DeliveryQueue, store: FaultyStore, clock: SteppedClock
) -> None:
    """What is refused goes, whatever else fails stays until it succeeds, and what was done is not redone."""
    tasks, metrics = _Tasks(), Metrics()
    tasks.errors = {
        b"1": ValidationError("refused"),
        b"2": StoreUnavailable("away"),
        b"3": ZeroDivisionError(),
    }
    await _in_one_batch(queue, store, b"0", b"1", b"2", b"3")
    worker = Worker(queue, tasks.process, metrics=metrics, clock=clock)
    with _running(worker, is_adopting=False):
        await eventually(lambda: tasks.tries.total() == 5)
        await worker.finish()
    assert [[b"2", b"3"]] == await _stored(queue)
    with _running(worker):
        await eventually(lambda: tasks.tries[b"2"] > 2 and tasks.tries[b"3"] > 2)
        tasks.errors.clear()
        await eventually(lambda: not metrics.queue_items._value.get() and not worker._under_way)
    await worker.finish()

    assert [] == await _stored(queue)
    assert (1, 1) == (tasks.tries[b"0"], tasks.tries[b"1"])
    outcomes = {
        sample.labels["outcome"]: sample.value
        for family in metrics.processed.collect()
        for sample in family.samples
    }
    assert {"done": 4.0, "refused": 1.0} == {name: outcomes[name] for name in ("done", "refused")}
    assert outcomes["failed"] >= 6


async def test_what_fails_for_long_is_tried_once_a_minute(
    queue: DeliveryQueue, clock: SteppedClock
) -> None:
    """The pause between two tries grows, and never beyond a minute."""
    tasks = _Tasks()
    tasks.errors = {b"1": StoreUnavailable("away")}
    await queue.put("github", b"1")
    with _running(Worker(queue, tasks.process, metrics=Metrics(), clock=clock)):
        await clock.until_slept(2 * 3600)

    assert 100 < tasks.tries[b"1"] < 300


async def test_what_another_replica_took_in_is_left_to_it_at_first(
    store: FaultyStore, queue: DeliveryQueue, clock: SteppedClock
) -> None:
    """Only what has not moved for ten seconds is taken over."""
    await queue.put("github", b"1")
    tasks, other = _Tasks(), DeliveryQueue(store, store, clock=clock)
    worker = Worker(other, tasks.process, metrics=Metrics(), clock=clock)
    for seconds, tries in ((0, 0), (10, 0), (1, 1)):
        clock.pass_seconds(seconds)
        await worker._scan()
        await worker.finish()
        assert tries == tasks.tries.total()


async def test_a_damaged_document_holds_up_nothing(
    store: FaultyStore, queue: DeliveryQueue, clock: SteppedClock
) -> None:
    """What cannot be read stays where it is, and what stands behind it is processed."""
    await store.create(QUEUE, "0000000000001-damaged-1", b"[{")
    await queue.put("github", b"1")
    tasks, other = _Tasks(), DeliveryQueue(store, store, clock=clock)
    worker = Worker(other, tasks.process, metrics=Metrics(), clock=clock)
    with _running(worker):
        await eventually(lambda: tasks.tries.total() == 1)
    await worker.finish()

    assert ["0000000000001-damaged-1"] == [document.key async for document in queue.stored()]


async def test_the_metrics_tell_all_items_and_the_oldest(
    store: FaultyStore, queue: DeliveryQueue, clock: SteppedClock
) -> None:
    """Each item that waits is counted, however they are stored, and the age is that of the first."""
    await _in_one_batch(queue, store, b"1", b"2")
    clock.pass_seconds(600)
    await queue.put("github", b"3")
    metrics, tasks = Metrics(), _Tasks()
    other = DeliveryQueue(store, store, clock=clock)
    worker = Worker(other, tasks.process, metrics=metrics, clock=clock)
    await worker._scan()

    assert 4 == metrics.registry.get_sample_value("mendloop_queue_items")
    assert 600 == pytest.approx(
        metrics.registry.get_sample_value("mendloop_queue_oldest_age_seconds"), abs=1
    )

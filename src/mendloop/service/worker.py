"""Taking what is queued to the tasks, until nothing is left; doing it twice is doing it once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from mendloop.clock import Clock
from mendloop.core.errors import (
    OutcomeUnknown,
    StateError,
    StateNotFound,
    TransitionRefused,
    ValidationError,
)
from mendloop.service.metrics import DOORS, Metrics
from mendloop.service.queue import Batch, DeliveryQueue, Item, queued_at, read_batch
from mendloop.service.traces import SpanKind, span
from mendloop.stores.port import Document

__all__ = ["Process", "Worker"]

_log = logging.getLogger(__name__)

Process = Callable[[Item], Awaitable[str]]
"""Does what an item asks for and returns what became of it, in one word."""

_BATCHES_AT_ONCE = 16
_SCAN_SECONDS = 5.0
_LEFT_AFTER_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_DOUBLINGS = 10


class _Seen(msgspec.Struct):
    """
    A queued document that is not being processed here.

    Attributes:
        revision: It stands at.
        due_seconds: When it is to be taken, if it still stands there, on this process's clock.
        failures: How often it was tried here.
    """

    revision: str
    due_seconds: float
    failures: int = 0


class Worker:
    """
    Processes the queue of one store: what this replica took in at once, what others left later.

    An item that is refused for good is told and let go. One that fails for another reason, such as
    a store that is away or a state that is damaged, stays until it succeeds, and holds up no other.
    """

    def __init__(
        self, queue: DeliveryQueue, process: Process, *, metrics: Metrics, clock: Clock
    ) -> None:
        """Have each item of *queue* done by *process*."""
        self._queue = queue
        self._process = process
        self._metrics = metrics
        self._clock = clock
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._seen: dict[str, _Seen] = {}
        self._oldest_at: datetime | None = None
        # It goes on growing while the store cannot be asked.
        metrics.queue_age.set_function(self._oldest_age_seconds)

    async def run(self) -> None:
        """Process what this replica takes in, until cancelled."""
        while True:
            await self._has_room.wait()
            self._start(await self._queue.next_fresh())

    async def adopt(self) -> None:
        """Look for what others have left, until cancelled; keeps the metrics of the queue too."""
        while True:
            try:
                await self._scan()
            except StateError as error:
                _log.warning("the queue cannot be listed at the moment: %s", error)
            await self._clock.sleep(_SCAN_SECONDS)

    async def finish(self) -> None:
        """Wait until what was begun has ended; what fails now stays queued."""
        while self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    async def hand_back(self) -> None:
        """Leave what was begun to others."""
        for task in self._under_way.values():
            task.cancel()
        await self.finish()

    def _start(self, batch: Batch) -> None:
        key = batch.document.key
        task = asyncio.create_task(self._take(batch))
        self._under_way[key] = task
        if len(self._under_way) >= _BATCHES_AT_ONCE:
            self._has_room.clear()

        def ended(_task: asyncio.Task[None]) -> None:
            del self._under_way[key]
            self._has_room.set()

        task.add_done_callback(ended)

    async def _take(self, batch: Batch) -> None:
        """Try a batch once; what is left of it stays queued, and is due again later."""
        left: Batch | None = batch
        try:
            left = await self._queue.settle(batch, await self._try_all(batch.items))
        except StateError as error:
            _log.warning("a batch of the queue cannot be let go yet: %s", error)
        key = batch.document.key
        before = self._seen.pop(key, None)
        if left is not None:
            failures = before.failures + 1 if before else 1
            doubled = _FIRST_PAUSE_SECONDS * 2.0 ** min(failures, _DOUBLINGS)
            longest = min(doubled, _LONGEST_PAUSE_SECONDS)
            pause_seconds = random.uniform(longest / 2, longest)  # noqa: S311 - jitter
            due_seconds = self._clock.monotonic_seconds() + pause_seconds
            self._seen[key] = _Seen(left.document.revision, due_seconds, failures)

    async def _try_all(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Try each item; returns those that have to be tried again."""
        is_done = await asyncio.gather(*(self._try(item) for item in items))
        return tuple(item for item, done in zip(items, is_done, strict=True) if not done)

    async def _try(self, item: Item) -> bool:
        """Do one item; False where it has to be tried again."""
        outcome, is_done = "failed", False
        # Other hands may have written any text into a queued document.
        door = item.door if item.door in DOORS else "unknown"
        try:
            with span(f"process {door}", kind=SpanKind.CONSUMER, parent=item.trace):
                outcome = await self._process(item)
            is_done = True
        except (ValidationError, StateNotFound, TransitionRefused) as error:
            _log.warning("queued item %s is refused: %s", item.id, error)
            outcome, is_done = "refused", True
        except OutcomeUnknown as error:
            _log.info("queued item %s is tried again: %s", item.id, error)
        except StateError as error:
            _log.warning("queued item %s is tried again: %s", item.id, error)
        except Exception:  # noqa: BLE001 - whatever it is, the other items go on
            _log.exception("queued item %s failed, and stays", item.id)
        self._metrics.processed.labels(door, outcome).inc()
        return is_done

    async def _scan(self) -> None:
        count, oldest = 0, None
        there: set[str] = set()
        async for document in self._queue.stored():
            if document.damage:
                await self._let_go(document)
                continue
            there.add(document.key)
            oldest = oldest or queued_at(document)
            batch = read_batch(document)
            if batch is None:
                _log.error("the queued document %s is damaged, and stays", document.key)
                continue
            count += len(batch.items)
            if self._is_due(document):
                self._start(batch)
        self._seen = {key: seen for key, seen in self._seen.items() if key in there}
        self._metrics.queue_items.set(count)
        self._oldest_at = oldest

    async def _let_go(self, document: Document) -> None:
        """Keep a copy of a document whose items are not as they came: who sent them is to do so again."""
        copy = await self._queue.set_aside(document)
        self._metrics.processed.labels("unknown", "damaged").inc()
        _log.error(
            "the queued document %s is damaged, and a copy is kept as %s: %s",
            document.key,
            copy,
            document.damage,
        )

    def _oldest_age_seconds(self) -> float:
        if self._oldest_at is None:
            return 0.0
        return max((self._clock.now() - self._oldest_at).total_seconds(), 0.0)

    def _is_due(self, document: Document) -> bool:
        """Whether a document is to be tried again, or its replica is gone: it has long not moved."""
        if document.key in self._under_way or not self._has_room.is_set():
            return False
        now_seconds = self._clock.monotonic_seconds()
        seen = self._seen.get(document.key)
        if seen is None or seen.revision != document.revision:
            due_seconds = now_seconds + _LEFT_AFTER_SECONDS
            self._seen[document.key] = _Seen(document.revision, due_seconds)
            return False
        return now_seconds > seen.due_seconds

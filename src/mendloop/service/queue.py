"""
The durable queue between the door and the tasks.

What came in is answered once it is stored, and is processed afterwards: by the replica that took it
in, or by another where that one is gone. One document holds what came in while the one before was
being written, so that the store sees fewer and larger writes the more there is to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import msgspec

from mendloop.clock import Clock
from mendloop.core.errors import (
    DocumentExists,
    RevisionConflict,
    StateError,
    StoreUnavailable,
    ValidationError,
)
from mendloop.core.names import QUEUE
from mendloop.core.text import redact_secrets
from mendloop.quarantine import Quarantine
from mendloop.service.traces import current_trace
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Store

__all__ = ["Batch", "DeliveryQueue", "Item", "queued_at", "read_batch"]

_BATCH_ITEMS = 256
_BATCH_BYTES = 512 * 1024
_BATCHES_A_PAGE = 50
_FRESH_BYTES = 32 * 1024 * 1024
_TRIES = 4
_PAUSE_SECONDS = 0.05
_PATIENCE_SECONDS = 8.0
"""GitHub waits for an answer for ten seconds."""


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One thing that came in.

    Attributes:
        id: Its own, random; the same for as long as it waits.
        door: How it came in: "github" or "feedback".
        received_at: When, UTC.
        content: What the door makes of it, as JSON.
        trace: The trace that it belongs to; see `mendloop.service.traces.current_trace`.
    """

    id: str
    door: str
    received_at: datetime
    content: msgspec.Raw
    trace: str = ""


class Batch(msgspec.Struct, frozen=True):
    """Items that are stored in one document."""

    document: Document
    items: tuple[Item, ...]


class _Waiting(msgspec.Struct, eq=False):
    item: Item
    size_bytes: int
    stored: asyncio.Future[None]


_items = msgspec.json.Decoder(tuple[Item, ...])


class DeliveryQueue:
    """
    Items of one store, each kept until it is processed.

    Any number of replicas may use one store: each item is read by whoever comes for it, so what is
    done with it has to be the same when it is done twice.

    Attributes:
        trouble: Why the last write failed; "" where it did not.
    """

    def __init__(self, store: Store, later: Store, *, clock: Clock) -> None:
        """
        Keep them in a store, which stays the caller's to close.

        Args:
            store: What came in is written to it.
            later: The same store, for what nobody waits for.
            clock: The time.
        """
        self._store = store
        self._later = later
        self._clock = clock
        self._quarantine = Quarantine(later, clock=clock, redact=redact_secrets)
        self._name = secrets.token_hex(4)
        self._count = 0
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._fresh: deque[Batch] = deque()
        self._fresh_bytes = 0
        self._has_fresh = asyncio.Event()
        self.trouble = ""

    async def put(self, door: str, content: bytes) -> str:
        """
        Store one item; it is durable when this returns. Returns its id.

        Raises:
            ValidationError: It is larger than a document may be.
            StateError: The store refuses, or does not answer within eight seconds; it may have been
                stored all the same.
        """
        if len(content) > _BATCH_BYTES:
            raise ValidationError(
                f"an item of {len(content)} bytes: at most {_BATCH_BYTES} can be queued"
            )
        item = Item(
            id=secrets.token_hex(8),
            door=door,
            received_at=self._clock.now(),
            content=msgspec.Raw(content),
            trace=current_trace(),
        )
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(item, len(content), stored)
        self._waiting.append(waiting)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        await self._until_stored(waiting)
        return item.id

    async def _until_stored(self, waiting: _Waiting) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await waiting.stored
        except TimeoutError as error:
            # Its sender is told to send it again: what is not being written need not be kept.
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiting)
            raise StoreUnavailable(
                f"no answer came within {_PATIENCE_SECONDS:.0f} s", maybe_stored=True
            ) from error

    async def try_again(self) -> None:
        """
        Where the last write failed, find out whether something can be stored now.

        Raises:
            StateError: It cannot.
        """
        if self.trouble:
            await self.settle(await self._write([]), ())

    async def next_fresh(self) -> Batch:
        """Wait for a batch that this replica has stored itself."""
        while not self._fresh:
            self._has_fresh.clear()
            await self._has_fresh.wait()
        return self._take_fresh()

    def stored(self) -> AsyncGenerator[Document, None]:
        """Yield all that is queued, oldest first."""
        return documents(self._later, QUEUE, limit=_BATCHES_A_PAGE)

    async def settle(self, batch: Batch, left: tuple[Item, ...]) -> Batch | None:
        """
        Keep only *left* of a batch; None where nothing is left, or another replica was quicker.

        Raises:
            StoreUnavailable: Try again later.
        """
        try:
            if not left:
                await self._later.delete(batch.document)
                return None
            if left == batch.items:
                return batch
            document = await self._later.replace(
                batch.document, msgspec.json.encode(left), fields=_fields(left)
            )
            return Batch(document, left)
        except RevisionConflict:
            return None

    async def set_aside(self, document: Document) -> str:
        """
        Let go of a document that the store says is damaged; returns the name of the copy that is kept.

        Raises:
            StateError: Try again later.
        """
        copy = await self._quarantine.set_aside("", document, reason=document.damage)
        with contextlib.suppress(RevisionConflict):
            await self._later.delete(document)
        return copy

    async def close(self) -> None:
        """Wait until all that was put is stored, or refused. Idempotent."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                taken = self._take()
                try:
                    batch = await self._write([waiting.item for waiting in taken])
                except Exception as error:  # noqa: BLE001 - whatever it is, the callers are told
                    own = error if isinstance(error, StateError) else StoreUnavailable(repr(error))
                    for waiting in taken:
                        if not waiting.stored.done():
                            waiting.stored.set_exception(own)
                    continue
                for waiting in taken:
                    if not waiting.stored.done():
                        waiting.stored.set_result(None)
                self._keep_fresh(batch)
        finally:
            self._writing = None

    def _keep_fresh(self, batch: Batch) -> None:
        self._fresh.append(batch)
        self._fresh_bytes += len(batch.document.body)
        while self._fresh_bytes > _FRESH_BYTES:
            self._take_fresh()  # it is forgotten here, but it is stored, and found again
        self._has_fresh.set()

    def _take_fresh(self) -> Batch:
        batch = self._fresh.popleft()
        self._fresh_bytes -= len(batch.document.body)
        return batch

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size_bytes = 0
        while self._waiting and len(taken) < _BATCH_ITEMS:
            size_bytes += self._waiting[0].size_bytes
            if taken and size_bytes > _BATCH_BYTES:
                break
            taken.append(self._waiting.popleft())
        return taken

    async def _write(self, items: list[Item]) -> Batch:
        try:
            batch = await self._create(items)
        except StateError as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
        return batch

    async def _create(self, items: list[Item]) -> Batch:
        """Store *items*; where the answer was lost the same document is found when it is tried again."""
        self._count += 1
        since = items[0].received_at if items else self._clock.now()
        time_ms = int(since.timestamp() * 1000)
        key = f"{time_ms:013d}-{self._name}-{self._count}"
        stored = tuple(items)
        body = msgspec.json.encode(stored)
        for tries_left in reversed(range(_TRIES)):
            try:
                document = await self._store.create(QUEUE, key, body, fields=_fields(stored))
            except DocumentExists:
                found = await self._store.get(QUEUE, key)
                if found is not None and found.body == body:
                    return Batch(found, stored)
                raise
            except StoreUnavailable:
                if not tries_left:
                    raise
                await self._clock.sleep(_PAUSE_SECONDS)
            else:
                return Batch(document, stored)
        raise AssertionError("a try ends in a return or a raise")


def read_batch(document: Document) -> Batch | None:
    """Read a queued document; None where it is none that a queue has written."""
    try:
        return Batch(document, _items.decode(document.body))
    except (ValueError, RecursionError):  # what is no UTF-8, or deep, is no DecodeError
        return None


def queued_at(document: Document) -> datetime | None:
    """When the first item of a queued document came in, as its name says; None where it does not."""
    time_ms = document.key.partition("-")[0]
    if not time_ms.isdecimal():
        return None
    try:
        return datetime.fromtimestamp(int(time_ms) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _fields(items: tuple[Item, ...]) -> dict[str, str]:
    """What a person sees of a queued document without decoding it."""
    return {"items": str(len(items))}

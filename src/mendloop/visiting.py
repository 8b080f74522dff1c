"""Visiting tasks that others write meanwhile: each of them once, as it is at one moment."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol, TypeVar

from mendloop.core.errors import RevisionConflict
from mendloop.core.names import CHUNK, HEAD, head_name, owner_of_chunk
from mendloop.heads import has_moved, head_of
from mendloop.stores.paging import documents
from mendloop.stores.port import Document, Store

__all__ = [
    "CHUNKS_A_PAGE",
    "TRIES",
    "Finding",
    "at_one_moment",
    "every_task",
    "restless",
]

CHUNKS_A_PAGE = 4
"""So few sealed documents are in memory at once: each may have a MiB, and unpacks to more."""

_HEADS_A_PAGE = 8
"""A head that another program wrote may have a MiB, and is in memory three times while it is listed."""

TRIES = 20
"""So often a task that is written meanwhile is read again."""


class Finding(Protocol):
    """What a visit to a task comes to."""

    @property
    def is_sound(self) -> bool:
        """Whether it is true whatever is written meanwhile; else that may be all that is wrong."""
        ...


_F = TypeVar("_F", bound=Finding)


async def every_task(store: Store) -> AsyncGenerator[tuple[str, Document | None], None]:
    """
    Yield every head with its key, then the same of each task that has a history and none was listed.

    A key that is that of no task is yielded too: see `mendloop.core.names.task_of_head`.

    Raises:
        StateError: The store does not list what it has.
    """
    known: set[str] = set()
    async for head in documents(store, HEAD, limit=_HEADS_A_PAGE):
        known.add(head.key)
        yield head.key, head
    async for chunk in documents(store, CHUNK, limit=CHUNKS_A_PAGE):
        task_id = owner_of_chunk(chunk.key, chunk.labels)
        if task_id is not None and head_name(task_id) not in known:
            known.add(head_name(task_id))
            yield head_name(task_id), await head_of(store, task_id)


async def at_one_moment(
    store: Store,
    task_id: str,
    head: Document | None,
    look: Callable[[Document | None], Awaitable[_F]],
) -> _F:
    """
    Tell what *look* finds in a task, once nobody has written it from its *head* on until then.

    Args:
        store: Where the task is.
        task_id: The task.
        head: As it was just read.
        look: Reads the rest of the task, and tells what it finds; it is called once for each head.

    Raises:
        RevisionConflict: The task did not stand still for long enough.
    """
    for _ in range(TRIES):
        found = await look(head)
        newer = head if found.is_sound else await head_of(store, task_id)
        if not has_moved(head, newer):
            return found
        head = newer
    raise restless(task_id)


def restless(task_id: str) -> RevisionConflict:
    """What is told of a task that does not stand still for long enough."""
    return RevisionConflict(f"task {task_id} is written all the time: try again", task_id=task_id)

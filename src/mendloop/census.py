"""Counting all tasks of a store, one after another, with one page of them in memory."""

from __future__ import annotations

from mendloop.core.errors import DeserializationError, ReadOnlyState, StateNotFound
from mendloop.core.names import HEAD, KINDS
from mendloop.core.statistics import Statistics, Tally, TaskTally
from mendloop.listing import Listed, listed
from mendloop.reading import Reader
from mendloop.stores.paging import documents
from mendloop.stores.port import Store
from mendloop.weighing import WEIGHED_A_PAGE, Weight, weigh

__all__ = ["take_census"]


async def take_census(store: Store, reader: Reader) -> Statistics:
    """
    Count all tasks of *store*; one that cannot be read is named, and stops nothing.

    Each is counted as it was at some moment of the census, all its findings and commits included.

    Raises:
        StateError: The store does not list what it has.
    """
    tally, heads = Tally(), Weight()
    async for document in documents(store, HEAD, limit=WEIGHED_A_PAGE):
        heads.add(document)
        await _count(listed(document.key, document), reader, tally)
    weights = {HEAD: heads} | await weigh(store, [kind for kind in KINDS if kind != HEAD])
    return tally.statistics({kind: weight.total_bytes for kind, weight in weights.items()})


async def _count(task: Listed, reader: Reader, tally: Tally) -> None:
    state = task.state
    if state is None:
        tally.add_unread(task.task_id, str(task.problem))
        return
    if state.ledger.deleted is not None:
        tally.deleted += 1
        return
    counted = TaskTally(state)
    try:
        async for _, entry in reader.findings(state):
            counted.add_finding(entry)
        async for commit in reader.commits(state):
            counted.add_commit(commit)
    except StateNotFound:
        return  # it was removed while it was read
    except (DeserializationError, ReadOnlyState) as error:
        tally.add_unread(task.task_id, str(error))
    else:
        tally.add(counted)

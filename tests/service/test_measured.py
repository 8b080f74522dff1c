"""The store as the service uses it: so many requests at once, each of them measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from faulty_store import DOWN, Fault, FaultyStore, in_turn
from patience import eventually

from mendloop.core.errors import StoreUnavailable
from mendloop.service.measured import MeasuredStore
from mendloop.service.metrics import Metrics
from mendloop.stores.sqlite import open_sqlite

_KIND = "queue"


@pytest.fixture
async def inner(tmp_path: Path) -> AsyncIterator[FaultyStore]:
    """The store that is measured."""
    store = FaultyStore(await open_sqlite(tmp_path / "state.db"))
    yield store
    await store.close()


async def test_the_others_wait_while_so_many_are_under_way(inner: FaultyStore) -> None:
    """The store is asked for two of five at first; who stops waiting has asked it for nothing."""
    answers = asyncio.Event()
    held = Fault(is_done=True, error=None, until=answers)
    inner.choose = lambda _operation, _kind: held
    store = MeasuredStore(inner, Metrics(), at_once=2)
    asked = [asyncio.create_task(store.create(_KIND, f"a{n}", b"")) for n in range(5)]
    await eventually(lambda: inner.calls[f"create {_KIND}"] == 2)
    asked.pop().cancel()
    await asyncio.sleep(0.05)
    assert 2 == inner.calls[f"create {_KIND}"]
    answers.set()
    made = await asyncio.gather(*asked)

    assert [f"a{n}" for n in range(4)] == [document.key for document in made]
    assert 4 == inner.calls[f"create {_KIND}"]


async def test_each_request_is_counted_by_its_outcome(inner: FaultyStore) -> None:
    """One that is answered, one that fails and one that is given up are told apart."""
    metrics = Metrics()
    store = MeasuredStore(inner, metrics, at_once=2)
    hanging = Fault(is_done=False, error=None, until=asyncio.Event())
    inner.choose = in_turn([None, DOWN, hanging], kind=_KIND)
    await store.create(_KIND, "a", b"")
    with pytest.raises(StoreUnavailable):
        await store.create(_KIND, "b", b"")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.create(_KIND, "c", b""), 0.05)

    counts = {
        (sample.labels["request"], sample.labels["outcome"]): sample.value
        for family in metrics.store_seconds.collect()
        for sample in family.samples
        if sample.name.endswith("_count") and sample.value
    }
    assert {("create", o): 1.0 for o in ("ok", "StoreUnavailable", "cancelled")} == counts

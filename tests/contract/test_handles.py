"""Handles: closing, use after closing, and callers that are cancelled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from mendloop.core.errors import RevisionConflict, StoreError
from mendloop.stores.port import Store

OpenReplica = Callable[[], Awaitable[Store]]


async def test_close_twice_is_allowed(store: Store) -> None:
    """A second close does nothing."""
    await store.close()
    await store.close()


async def test_use_after_close_says_so(store: Store, other: Store) -> None:
    """Every call on a closed handle is refused with words, and nothing is written."""
    document = await store.create("head", "a", b"1")
    await store.close()
    for call in (
        store.get("head", "a"),
        store.create("head", "b", b"1"),
        store.replace(document, b"2"),
        store.delete(document),
        store.list("head"),
    ):
        with pytest.raises(StoreError, match="closed"):
            await call
    assert (document,) == (await other.list("head")).documents


async def test_closing_one_handle_leaves_the_others(store: Store, other: Store) -> None:
    """Handles are independent of each other."""
    document = await store.create("head", "a", b"1")
    await store.close()
    assert b"2" == (await other.replace(document, b"2")).body


async def test_storage_outlives_its_handles(open_replica: OpenReplica) -> None:
    """What was acknowledged is there when everything was closed and is opened again."""
    store = await open_replica()
    document = await store.create("head", "a", b"1", fields={"f": "1"}, labels={"l": "1"})
    await store.close()
    again = await open_replica()
    assert document == await again.get("head", "a")
    assert b"2" == (await again.replace(document, b"2")).body


async def test_close_leaves_no_call_hanging(store: Store, other: Store) -> None:
    """A call that waits at the close is served, or told that the handle is closed."""
    waiting = [asyncio.create_task(store.create("head", f"{n:02}", b"1")) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    served = [answer for answer in answers if not isinstance(answer, StoreError)]
    assert served == list((await other.list("head")).documents)


async def test_cancelled_write_is_whole_or_nothing(store: Store, other: Store) -> None:
    """After a caller was cancelled at any moment, the write is there whole or not at all."""
    moments = random.Random(20)
    document = await store.create("head", "a", b"0", fields={"n": "0"}, labels={"n": "0"})
    for number in range(1, 60):
        text = str(number)
        write = asyncio.create_task(
            store.replace(document, text.encode(), fields={"n": text}, labels={"n": text})
        )
        await asyncio.sleep(moments.uniform(0, 0.0008))
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)
        read = await (store, other)[number % 2].get("head", "a")
        assert read is not None
        assert read.body.decode() == read.fields["n"] == read.labels["n"]
        # What was cancelled may still land, but not over what was stored after it.
        assert int(document.body) <= int(read.body) <= number
        document = read


async def test_cancelled_calls_hold_up_nobody(store: Store, other: Store) -> None:
    """A crowd of cancelled callers leaves no lock behind."""
    document = await store.create("head", "a", b"0")
    for _ in range(10):
        crowd: list[asyncio.Task[object]] = []
        for _ in range(10):
            crowd.append(asyncio.create_task(store.replace(document, b"1")))
            crowd.append(asyncio.create_task(store.list("head")))
        await asyncio.sleep(0)
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        async with asyncio.timeout(10):
            newest = await other.get("head", "a")
            assert newest is not None
            while True:
                try:
                    document = await other.replace(newest, b"2")
                    break
                except RevisionConflict:
                    newest = await other.get("head", "a")
                    assert newest is not None

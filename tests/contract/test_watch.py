"""Watches: all that is there, then what changes, and never back in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from mendloop.core.errors import StoreError, ValidationError
from mendloop.stores.port import Document, Seen, Store

PATIENCE_SECONDS = 30


async def seen_until(
    watch: AsyncGenerator[Seen, None], is_enough: Callable[[dict[str, Document | None]], bool]
) -> dict[str, Document | None]:
    """What stands under each key, once it is enough."""
    found: dict[str, Document | None] = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_enough(found):
            seen = await anext(watch)
            found[seen.key] = seen.document
    return found


async def next_of(watch: AsyncGenerator[Seen, None]) -> Seen:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(watch)


async def test_present_documents_are_seen_first(store: Store, other: Store) -> None:
    """A watch begins with every document of the kind, as a get of each gives it."""
    expected = {
        key: await other.create("head", key, key.encode(), fields={"f": key}, labels={"l": key})
        for key in "abc"
    }
    await other.create("note", "d", b"1")
    async with aclosing(store.watch("head")) as watch:
        assert expected == await seen_until(watch, lambda found: len(found) == 3)


async def test_changes_of_others_are_seen(store: Store, other: Store) -> None:
    """A create, a replace and a delete by another handle are seen, each as it stands."""
    before = await other.create("head", "a", b"1")
    async with aclosing(store.watch("head")) as watch:
        assert Seen(key="a", document=before) == await next_of(watch)
        created = await other.create("head", "b", b"1", labels={"l": "1"})
        assert Seen(key="b", document=created) == await next_of(watch)
        replaced = await other.replace(created, b"2", fields={"f": "2"})
        assert Seen(key="b", document=replaced) == await next_of(watch)
        await other.delete(replaced)
        assert Seen(key="b", document=None) == await next_of(watch)
        again = await other.create("head", "b", b"3")
        assert Seen(key="b", document=again) == await next_of(watch)


async def test_own_changes_are_seen(store: Store) -> None:
    """What the watching handle writes itself is seen as well, and once."""
    async with aclosing(store.watch("head")) as watch:
        created = await store.create("head", "a", b"1")
        assert Seen(key="a", document=created) == await next_of(watch)
        replaced = await store.replace(created, b"2")
        assert Seen(key="a", document=replaced) == await next_of(watch)
        await store.delete(replaced)
        assert Seen(key="a", document=None) == await next_of(watch)


async def test_other_kinds_are_not_seen(store: Store, other: Store) -> None:
    """Documents of other kinds do not come."""
    async with aclosing(store.watch("note")) as watch:
        await other.create("head", "a", b"1")
        expected = await other.create("note", "b", b"1")
        assert Seen(key="b", document=expected) == await next_of(watch)


async def test_no_key_goes_back_in_time(replicas: list[Store], rounds: int) -> None:
    """Through many changes the numbers of a key only rise, and the last of each is seen."""
    keys = [f"k{number}" for number in range(4)]
    last: dict[str, int] = {}

    async def write(store: Store, key: str) -> None:
        document = await store.create("head", key, b"0")
        for number in range(1, rounds):
            if number % 10:
                document = await store.replace(document, b"%d" % number)
            else:
                await store.delete(document)
                document = await store.create("head", key, b"%d" % number)

    def is_enough(found: dict[str, Document | None]) -> bool:
        for key, document in found.items():
            if document is not None:
                assert int(document.body) >= last.get(key, 0)
                last[key] = int(document.body)
        return len(last) == len(keys) and set(last.values()) == {rounds - 1}

    async with aclosing(replicas[0].watch("head")) as watch, asyncio.TaskGroup() as tasks:
        for number, key in enumerate(keys):
            tasks.create_task(write(replicas[number % len(replicas)], key))
        found = await seen_until(watch, is_enough)
    assert found == {key: await replicas[1].get("head", key) for key in keys}


async def test_slow_watcher_sees_how_it_ended(store: Store, other: Store) -> None:
    """Who does not ask for a while is told what stands then, deletions among it."""
    gone = await other.create("head", "gone", b"1")
    async with aclosing(store.watch("head")) as watch:
        assert Seen(key="gone", document=gone) == await next_of(watch)
        document = await other.create("head", "a", b"0")
        for number in range(1, 30):
            document = await other.replace(document, b"%d" % number)
        await other.delete(gone)
        found = await seen_until(watch, lambda found: found == {"a": document, "gone": None})
    assert {"a": document, "gone": None} == found


async def test_watchers_do_not_disturb_each_other(store: Store, other: Store) -> None:
    """Several watches of one handle each see everything, and one that ends leaves the others."""
    async with aclosing(store.watch("head")) as first:
        created = await other.create("head", "a", b"1")
        assert Seen(key="a", document=created) == await next_of(first)
        async with aclosing(store.watch("head")) as second:
            assert Seen(key="a", document=created) == await next_of(second)
        replaced = await other.replace(created, b"2")
        assert Seen(key="a", document=replaced) == await next_of(first)


async def test_close_ends_a_watch_with_words(store: Store) -> None:
    """A watcher that waits at the close, or asks after it, is told that the handle is closed."""
    async with aclosing(store.watch("head")) as watch:
        waiting = asyncio.create_task(next_of(watch))
        await asyncio.sleep(0.05)
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await waiting
    with pytest.raises(StoreError, match="closed"):
        await next_of(store.watch("head"))


async def test_watch_of_another_kind_is_refused(store: Store) -> None:
    """A kind outside the grammar is refused rather than watched for ever."""
    with pytest.raises(ValidationError):
        await next_of(store.watch("A"))


async def test_peek_is_never_newer_than_a_get(store: Store, other: Store) -> None:
    """A peek gives what was stored at some time, never what was not, and knows nothing of strangers."""
    versions = [await other.create("head", "a", b"0")]
    async with aclosing(store.watch("head")) as watch:
        await next_of(watch)
        for number in range(1, 20):
            assert store.peek("head", "a") in [None, *versions]
            document = await store.replace(versions[-1], b"%d" % number)
            versions.append(document)
            assert store.peek("head", "a") in [None, document]
    assert store.peek("head", "b") is None

"""Listings: order, pages, labels, and what happens beside them."""

from __future__ import annotations

import asyncio

import pytest

from mendloop.core.errors import ValidationError
from mendloop.stores.port import Document, Store


async def list_all(store: Store, *, kind: str = "head", limit: int = 500) -> list[Document]:
    documents: list[Document] = []
    cursor = None
    while True:
        page = await store.list(kind, limit=limit, cursor=cursor)
        assert len(page.documents) <= limit
        documents += page.documents
        cursor = page.cursor
        if cursor is None:
            return documents


async def fill(store: Store, *keys: str, kind: str = "head") -> list[Document]:
    return [await store.create(kind, key, key.encode()) for key in keys]


async def test_empty_listing_is_one_empty_page(store: Store) -> None:
    """Nothing to list is an empty last page."""
    page = await store.list("head")
    assert ((), None) == (page.documents, page.cursor)


async def test_listed_documents_are_the_stored_ones(store: Store, other: Store) -> None:
    """A listing gives the same documents as a get of each."""
    await store.create("head", "a", b"1", fields={"f": "1"}, labels={"l": "1"})
    await store.create("head", "b", b"\0\x7f")
    page = await other.list("head")
    assert [await store.get("head", key) for key in "ab"] == list(page.documents)


@pytest.mark.parametrize("kind", ["head", "note"])
async def test_listing_ascends(store: Store, kind: str) -> None:
    """Keys come in ascending order, whatever an object's name adds to them."""
    keys = ["b", "a", "10", "9", "ab", "a-b", "a0", "a0.b", "a0.z", "a0-b", "a0b"]
    await fill(store, *keys, kind=kind)
    for limit in (2, 500):
        listed = await list_all(store, kind=kind, limit=limit)
        assert sorted(keys) == [document.key for document in listed]


async def test_listing_holds_its_own_kind_only(store: Store) -> None:
    """Documents of other kinds are not listed."""
    await store.create("chunk", "a-history-1", b"1")
    expected = await fill(store, "b")
    await store.create("heads", "c", b"1")
    assert expected == await list_all(store)


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 500])
async def test_pages_join_to_the_whole(store: Store, limit: int) -> None:
    """Pages of any size hold each document once, in order."""
    expected = await fill(store, *"abcdefg")
    assert expected == await list_all(store, limit=limit)


async def test_last_page_says_so(store: Store) -> None:
    """A page with more to come has a cursor; after the last document come at most empty pages."""
    await fill(store, *"abcd")
    first = await store.list("head", limit=2)
    assert first.cursor is not None
    page = await store.list("head", limit=2, cursor=first.cursor)
    assert ["c", "d"] == [document.key for document in page.documents]
    for _ in range(3):
        if page.cursor is not None:
            page = await store.list("head", limit=2, cursor=page.cursor)
            assert () == page.documents
    assert page.cursor is None


@pytest.mark.parametrize("limit", [0, -1])
async def test_page_of_nothing_is_refused(store: Store, limit: int) -> None:
    """A limit below one is refused rather than listing for ever."""
    with pytest.raises(ValidationError):
        await store.list("head", limit=limit)


@pytest.mark.parametrize("cursor", ["", "x", "!!!!", "AAAAAAAAAA==", "ключ", "a" * 5000, "null"])
async def test_malformed_cursor_is_refused(store: Store, cursor: str) -> None:
    """A cursor that no listing gave is refused, never read as a beginning or an end."""
    await fill(store, *"abc")
    with pytest.raises(ValidationError):
        await store.list("head", cursor=cursor)


async def test_cursor_is_good_on_another_replica_and_twice(store: Store, other: Store) -> None:
    """A cursor names a place, not a session."""
    expected = await fill(store, *"abcd")
    first = await store.list("head", limit=2)
    for replica in (other, store, other):
        page = await replica.list("head", limit=2, cursor=first.cursor)
        assert tuple(expected[2:]) == page.documents


async def test_cursor_of_another_listing_is_refused(store: Store) -> None:
    """A cursor is good for the kind and the labels that it was given for."""
    for key in ("aa", "ab", "ac"):
        await store.create("head", key, b"", labels={"l": "1"})
    page = await store.list("head", labels={"l": "1"}, limit=1)
    for kind, labels in (("note", {"l": "1"}), ("head", None), ("head", {"l": "2"})):
        with pytest.raises(ValidationError):
            await store.list(kind, labels=labels, cursor=page.cursor)


async def test_labels_must_all_match(store: Store) -> None:
    """A document is listed where it carries each label asked for, with its value."""
    both = await store.create("head", "a", b"", labels={"all": "x", "task": "1", "more": "y"})
    await store.create("head", "b", b"", labels={"all": "x", "task": "2"})
    await store.create("head", "c", b"", labels={"all": "x"})
    await store.create("head", "d", b"")
    await store.create("note", "e", b"", labels={"all": "x", "task": "1"})
    page = await store.list("head", labels={"all": "x", "task": "1"})
    assert (both,) == page.documents
    assert 3 == len((await store.list("head", labels={"all": "x"})).documents)
    assert () == (await store.list("head", labels={"all": "x", "none": "1"})).documents


async def test_no_labels_select_everything(store: Store) -> None:
    """An empty selection is no selection."""
    expected = await fill(store, *"abc")
    assert tuple(expected) == (await store.list("head", labels={})).documents


async def test_selection_follows_the_labels(store: Store, other: Store) -> None:
    """A replace or delete moves a document between selections at once."""
    document = await store.create("head", "a", b"", labels={"phase": "one", "kept": "yes"})
    document = await store.replace(document, b"", labels={"phase": "two", "kept": "yes"})
    assert () == (await other.list("head", labels={"phase": "one"})).documents
    assert (document,) == (await other.list("head", labels={"phase": "two"})).documents
    assert (document,) == (await other.list("head", labels={"kept": "yes"})).documents
    await store.delete(document)
    assert () == (await other.list("head", labels={"phase": "two"})).documents
    again = await store.create("head", "a", b"", labels={"phase": "one"})
    assert (again,) == (await other.list("head", labels={"phase": "one"})).documents
    assert () == (await other.list("head", labels={"kept": "yes"})).documents


async def test_labels_and_pages_combine(store: Store) -> None:
    """A selection by labels pages like any other."""
    for number in range(40):
        labels = {"third": str(number % 3), "all": "1"}
        await store.create("head", f"{number:02}", b"", labels=labels)
    keys, cursor = [], None
    while True:
        page = await store.list("head", labels={"third": "0", "all": "1"}, limit=2, cursor=cursor)
        keys += [document.key for document in page.documents]
        cursor = page.cursor
        if cursor is None:
            break
    assert [f"{number:02}" for number in range(0, 40, 3)] == keys


async def test_listing_survives_the_loss_of_its_place(store: Store, other: Store) -> None:
    """A cursor goes on where it was, also when the documents around it are gone or new."""
    documents = await fill(store, *"bdfhj")
    first = await store.list("head", limit=2)
    await other.delete(documents[1])
    await other.delete(documents[2])
    await fill(other, "a", "e", "g")
    page = await store.list("head", cursor=first.cursor)
    keys = [document.key for document in page.documents]
    assert sorted(keys) == keys
    assert {"h", "j"} <= set(keys) <= {"e", "f", "g", "h", "j"}


async def test_what_stays_is_listed_once_whatever_moves(replicas: list[Store]) -> None:
    """Documents that exist throughout are listed once while others come, change and go."""
    steady = [f"{number:03}-steady" for number in range(0, 200, 2)]
    await fill(replicas[0], *steady)
    is_over = False

    async def disturb(store: Store, offset: int) -> None:
        turn = 0
        while not is_over:
            turn += 1
            key = f"{(turn * 7 + offset) % 200:03}-passing{offset}"
            passing = await store.create("head", key, b"1")
            await store.delete(await store.replace(passing, b"2"))
            moving = await store.get("head", steady[turn % len(steady)])
            assert moving is not None
            if turn % 2 == offset:
                await store.replace(moving, b"moved")

    async def observe() -> None:
        nonlocal is_over
        for _ in range(10):
            keys = [document.key for document in await list_all(replicas[2], limit=7)]
            assert sorted(keys) == keys
            assert steady == [key for key in keys if key.endswith("steady")]
        is_over = True

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(disturb(replicas[0], 0))
        tasks.create_task(disturb(replicas[1], 1))
        tasks.create_task(observe())

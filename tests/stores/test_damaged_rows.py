"""A row that does not match its digest is read as damaged, and stands in the way of no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import apsw
import pytest
from rot import ROTS, rot, rows

from mendloop.core.errors import DocumentExists, RevisionConflict
from mendloop.stores.port import Document
from mendloop.stores.sqlite import SqliteStore, open_sqlite

KEY = "task-2-state"
LABELS = {"task-id": "2", "hold": "evidence"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the store."""
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """A store with three heads."""
    store = await open_sqlite(path)
    for number in ("1", "2", "3"):
        labels = LABELS | {"task-id": number}
        body, fields = b'{"iteration":1,"of":"a task"}', {"iteration": "1"}
        await store.create("head", f"task-{number}-state", body, fields=fields, labels=labels)
    yield store
    await store.close()


async def found(store: SqliteStore, key: str = KEY) -> Document:
    """What is read under a key."""
    document = await store.get("head", key)
    assert document is not None
    return document


@pytest.mark.parametrize("how", ROTS)
async def test_a_damaged_row_is_listed_as_damaged_beside_sound_ones(
    how: str, store: SqliteStore, path: Path
) -> None:
    """Every way to read gives it with what is left of it, and its neighbours as they were written."""
    sound = {key: await found(store, key) for key in ("task-1-state", "task-3-state")}
    assert KEY == rot(path, "head", how, key=KEY)
    raw = rows(path)["head", KEY]

    document = await found(store)
    everything = (await store.list("head")).documents
    labelled = (await store.list("head", labels={"task-id": "2"})).documents
    paged = (await store.list("head", limit=1)).documents
    async with aclosing(store.watch("head")) as watching:
        seen = [(await anext(watching)).document for _ in range(3)]

    assert str(path) in document.damage
    assert f"head '{KEY}'" in document.damage
    assert raw[-1] == document.body
    assert (raw[3], raw[4]) == (document.blobs["fields"], document.blobs["labels"])
    assert LABELS == document.labels
    assert [sound["task-1-state"], document, sound["task-3-state"]] == list(everything) == seen
    assert (document,) == labelled
    assert (sound["task-1-state"],) == paged


@pytest.mark.parametrize("how", ROTS)
async def test_who_has_not_read_the_damage_writes_nothing_over_it(
    how: str, store: SqliteStore, path: Path
) -> None:
    """A write, a delete and a create that were decided before are refused, and no byte is another."""
    before = await found(store)
    rot(path, "head", how, key=KEY)
    damaged = rows(path)

    with pytest.raises(RevisionConflict):
        await store.replace(before, b"{}", fields={"iteration": "2"}, labels=LABELS)
    with pytest.raises(RevisionConflict):
        await store.delete(before)
    with pytest.raises(DocumentExists):
        await store.create("head", KEY, b"{}")

    assert damaged == rows(path)


@pytest.mark.parametrize("how", ROTS)
async def test_who_has_read_the_damage_makes_it_sound(
    how: str, store: SqliteStore, path: Path
) -> None:
    """What is written over it is as sound as any other, keeps the labels that a listing goes by, once."""
    rot(path, "head", how, key=KEY)
    damaged = await found(store)

    written = await store.replace(damaged, b"{}", fields={"iteration": "2"})

    with pytest.raises(RevisionConflict):
        await store.replace(damaged, b"{}")
    assert "" == written.damage
    assert written == await found(store)
    assert LABELS == written.labels
    assert (written,) == (await store.list("head", labels=LABELS)).documents
    await store.delete(written)
    assert 2 == len((await store.list("head")).documents)


@pytest.mark.parametrize("how", ROTS)
async def test_a_damaged_row_can_be_deleted_by_who_has_read_it(
    how: str, store: SqliteStore, path: Path
) -> None:
    """Nothing of it is left, also in the index of labels, and the file opens as before."""
    rot(path, "head", how, key=KEY)

    await store.delete(await found(store))

    assert () == (await store.list("head", labels={"task-id": "2"})).documents
    assert None is await store.get("head", KEY)
    again = await open_sqlite(path)
    assert 2 == len((await again.list("head")).documents)
    await again.close()


@pytest.mark.parametrize("how", ["the digest", "other labels", "no UTF-8 in the fields"])
async def test_who_has_read_one_damage_writes_nothing_over_another(
    how: str, store: SqliteStore, path: Path
) -> None:
    """Whatever else becomes of a damaged row: it is another one than was read and kept a copy of."""
    rot(path, "head", "the digest", key=KEY)
    read = await found(store)
    rot(path, "head", how, key=KEY)
    damaged = rows(path)

    assert read.revision != (await found(store)).revision
    with pytest.raises(RevisionConflict):
        await store.replace(read, b"{}")
    with pytest.raises(RevisionConflict):
        await store.delete(read)
    assert damaged == rows(path)


async def test_a_watch_tells_of_damage_once_and_of_the_repair(
    store: SqliteStore, path: Path
) -> None:
    """What is damaged is told again only once it is another; the other rows are told as they change."""
    rot(path, "head", "the digest", key=KEY)
    async with aclosing(store.watch("head")) as watching:
        seen = [await anext(watching) for _ in range(3)]
        await store.replace(await found(store, "task-3-state"), b"{}")
        async with asyncio.timeout(5):
            seen.append(await anext(watching))
        await store.replace(await found(store), b"{}")
        async with asyncio.timeout(5):
            seen.append(await anext(watching))

    assert ["1", "2", "3", "3", "2"] == [one.key.split("-")[1] for one in seen]
    assert [False, True, False, False, False] == [
        bool(one.document and one.document.damage) for one in seen
    ]


@pytest.mark.parametrize("limit", [1, 500])
async def test_an_index_that_is_wrong_stops_no_listing(
    store: SqliteStore, path: Path, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What it has under labels that the row has not is passed over, and named; the others are listed."""
    labels = {"hold": "other"}
    for number in ("0", "4"):
        await store.create("head", f"task-{number}-state", b"{}", labels=labels)
    _change_index(path, "UPDATE label SET value = 'other' WHERE name = 'hold'")

    listed, cursor = [], None
    while True:
        page = await store.list("head", labels=labels, limit=limit, cursor=cursor)
        listed += [document.key for document in page.documents]
        if (cursor := page.cursor) is None:
            break

    assert ["task-0-state", "task-4-state"] == listed
    assert f"head '{KEY}' under hold=other" in caplog.text


async def test_a_write_puts_lost_entries_of_the_index_back(store: SqliteStore, path: Path) -> None:
    """Whether they are gone, or others stand in the way of new labels."""
    _change_index(path, "UPDATE label SET name = 'sort' WHERE name = 'hold'")
    before = await found(store)
    assert before not in (await store.list("head", labels=LABELS)).documents

    written = await store.replace(before, b"{}", labels={"sort": "evidence"})

    for labels in (LABELS, {"sort": "evidence"}):
        assert (written,) == (await store.list("head", labels=labels)).documents


def _change_index(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()

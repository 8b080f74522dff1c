"""What each write does to one document, in every order and absence."""

from __future__ import annotations

import pytest

from mendloop.core.errors import DocumentExists, RevisionConflict, ValidationError
from mendloop.stores.port import Document, Store

REVISIONS_THAT_NEVER_WERE = ["", "0", "-1", "1.0", " 1", "abc", "\u0661", "9" * 40]


def made_up(key: str = "a", *, revision: str = "1") -> Document:
    return Document(kind="head", key=key, revision=revision, body=b"", fields={}, labels={})


async def test_missing_document_reads_as_none(store: Store) -> None:
    """A get of what was never written is None, not an error."""
    assert await store.get("head", "a") is None


async def test_created_document_is_read_back(store: Store) -> None:
    """A get returns kind, key, body, fields and labels as they were created."""
    await store.create("head", "a", b"{}", fields={"iteration": "1"}, labels={"l": "x"})
    read = await store.get("head", "a")
    assert read is not None
    assert ("head", "a", b"{}") == (read.kind, read.key, read.body)
    assert {"iteration": "1"} == dict(read.fields)
    assert {"l": "x"} == dict(read.labels)


async def test_create_answers_what_a_get_reads(store: Store) -> None:
    """The document that create returns is the stored one, its revision included."""
    created = await store.create("head", "a", b"1", fields={"f": "1"}, labels={"l": "1"})
    assert created == await store.get("head", "a")


@pytest.mark.v1_write_fails
async def test_create_of_a_taken_key_is_refused(store: Store) -> None:
    """A create never writes over a document."""
    await store.create("head", "a", b"first")
    with pytest.raises(DocumentExists):
        await store.create("head", "a", b"second")


@pytest.mark.v1_write_fails
async def test_refused_create_changes_nothing(store: Store, other: Store) -> None:
    """After a refused create, every replica reads the first document, unmoved."""
    first = await store.create("head", "a", b"first", fields={"f": "1"}, labels={"l": "1"})
    with pytest.raises(DocumentExists):
        await other.create("head", "a", b"second", fields={"f": "2"}, labels={"l": "2"})
    assert first == await store.get("head", "a") == await other.get("head", "a")


async def test_create_after_delete_is_a_new_document(store: Store) -> None:
    """A deleted key is free again."""
    await store.delete(await store.create("head", "a", b"first", fields={"f": "1"}))
    await store.create("head", "a", b"second")
    read = await store.get("head", "a")
    assert read is not None
    assert (b"second", {}) == (read.body, dict(read.fields))


async def test_replaced_document_is_read_back(store: Store) -> None:
    """A get returns what replace wrote."""
    created = await store.create("head", "a", b"1")
    await store.replace(created, b"2", fields={"f": "2"}, labels={"l": "2"})
    read = await store.get("head", "a")
    assert read is not None
    assert (b"2", {"f": "2"}, {"l": "2"}) == (read.body, dict(read.fields), dict(read.labels))


async def test_replace_answers_what_a_get_reads(store: Store) -> None:
    """The document that replace returns is the stored one, its revision included."""
    created = await store.create("head", "a", b"1")
    replaced = await store.replace(created, b"2", fields={"f": "2"}, labels={"l": "2"})
    assert replaced == await store.get("head", "a")


async def test_replaces_follow_each_other_without_a_read(store: Store) -> None:
    """What a replace returns is good for the next replace."""
    document = await store.create("head", "a", b"0")
    for number in range(1, 20):
        document = await store.replace(document, str(number).encode())
    assert document == await store.get("head", "a")
    assert b"19" == document.body


async def test_replace_with_equal_content_still_moves_the_revision(store: Store) -> None:
    """The revision changes with every write, whatever is written."""
    created = await store.create("head", "a", b"1")
    replaced = await store.replace(created, b"1")
    assert created.revision != replaced.revision


@pytest.mark.v1_write_fails
async def test_replace_decided_on_a_stale_read_is_refused(store: Store, other: Store) -> None:
    """A replace with a revision that has passed is refused and changes nothing."""
    stale = await store.create("head", "a", b"1")
    newest = await other.replace(stale, b"2", fields={"f": "2"}, labels={"l": "2"})
    with pytest.raises(RevisionConflict):
        await store.replace(stale, b"3")
    assert newest == await store.get("head", "a")


@pytest.mark.v1_write_fails
async def test_replace_lands_once_on_one_read(store: Store) -> None:
    """The same replace sent twice lands once."""
    created = await store.create("head", "a", b"1")
    await store.replace(created, b"2")
    with pytest.raises(RevisionConflict):
        await store.replace(created, b"2")


@pytest.mark.v1_write_fails
async def test_replace_of_what_never_was_is_refused(store: Store) -> None:
    """A replace creates nothing."""
    with pytest.raises(RevisionConflict):
        await store.replace(made_up(), b"2")
    assert await store.get("head", "a") is None


@pytest.mark.v1_write_fails
async def test_replace_after_delete_does_not_resurrect(store: Store, other: Store) -> None:
    """A late writer does not bring a deleted document back."""
    created = await store.create("head", "a", b"1")
    await other.delete(created)
    with pytest.raises(RevisionConflict):
        await store.replace(created, b"2")
    assert await store.get("head", "a") is None


@pytest.mark.v1_write_fails
async def test_replace_with_the_revision_of_a_former_life_is_refused(
    store: Store, other: Store
) -> None:
    """After delete and create, the revision of the first document opens nothing."""
    former = await store.create("head", "a", b"1")
    await other.delete(former)
    newest = await other.create("head", "a", b"2")
    with pytest.raises(RevisionConflict):
        await store.replace(former, b"3")
    assert newest == await store.get("head", "a")


@pytest.mark.v1_write_fails
@pytest.mark.parametrize("revision", REVISIONS_THAT_NEVER_WERE)
async def test_revision_that_never_was_is_refused(store: Store, revision: str) -> None:
    """A revision that the store never gave out opens nothing, whatever it looks like."""
    created = await store.create("head", "a", b"1")
    with pytest.raises(RevisionConflict):
        await store.replace(made_up(revision=revision), b"2")
    with pytest.raises(RevisionConflict):
        await store.delete(made_up(revision=revision))
    assert created == await store.get("head", "a")


@pytest.mark.v1_write_fails
async def test_revision_of_another_document_is_refused(store: Store) -> None:
    """A revision is good for its own document only."""
    one = await store.create("head", "a", b"1")
    two = await store.create("head", "b", b"2")
    with pytest.raises(RevisionConflict):
        await store.replace(made_up("a", revision=two.revision), b"3")
    assert one == await store.get("head", "a")


async def test_deleted_document_is_gone(store: Store, other: Store) -> None:
    """After a delete, every replica reads None."""
    await store.delete(await store.create("head", "a", b"1"))
    assert await store.get("head", "a") is None
    assert await other.get("head", "a") is None


@pytest.mark.v1_write_fails
async def test_delete_decided_on_a_stale_read_is_refused(store: Store, other: Store) -> None:
    """A document that moved since it was read is not deleted."""
    stale = await store.create("head", "a", b"1")
    newest = await other.replace(stale, b"2")
    with pytest.raises(RevisionConflict):
        await store.delete(stale)
    assert newest == await store.get("head", "a")


@pytest.mark.v1_write_fails
async def test_delete_twice_is_refused(store: Store) -> None:
    """Only one delete of a document is acknowledged."""
    created = await store.create("head", "a", b"1")
    await store.delete(created)
    with pytest.raises(RevisionConflict):
        await store.delete(created)


@pytest.mark.v1_write_fails
async def test_delete_of_what_never_was_is_refused(store: Store) -> None:
    """A delete that removed nothing is not acknowledged."""
    with pytest.raises(RevisionConflict):
        await store.delete(made_up())


@pytest.mark.v1_write_fails
async def test_delete_with_the_revision_of_a_former_life_is_refused(
    store: Store, other: Store
) -> None:
    """A document that was created anew is not deleted on the word of its forerunner."""
    former = await store.create("head", "a", b"1")
    await other.delete(former)
    newest = await other.create("head", "a", b"1")
    with pytest.raises(RevisionConflict):
        await store.delete(former)
    assert newest == await store.get("head", "a")


@pytest.mark.parametrize("kind", ["head", "note"])
async def test_fields_and_labels_that_are_not_given_stay(
    store: Store, other: Store, kind: str
) -> None:
    """Through several replaces, what one does not name stays as an earlier write has set it."""
    document = await store.create(
        kind, "a", b"1", fields={"f": "1", "g": "1"}, labels={"l": "1", "m": "1"}
    )
    document = await store.replace(document, b"2", fields={"g": "2"}, labels={"m": "2"})
    document = await other.replace(document, b"3", fields={"h": "3"}, labels={"n": "3"})
    document = await store.replace(document, b"4", fields={"f": "4"}, labels={"l": "4"})
    document = await other.replace(document, b"5")
    assert {"f": "4", "g": "2", "h": "3"} == dict(document.fields)
    assert {"l": "4", "m": "2", "n": "3"} == dict(document.labels)
    assert document == await store.get(kind, "a")


async def test_document_that_was_not_read_loses_nothing(store: Store) -> None:
    """A replace needs kind, key and revision alone: what it does not name stays."""
    document = await store.create("head", "a", b"1", fields={"f": "1"}, labels={"l": "1"})
    document = await store.replace(document, b"2", fields={"g": "2"}, labels={"m": "2"})
    replaced = await store.replace(made_up(revision=document.revision), b"3")
    assert {"f": "1", "g": "2"} == dict(replaced.fields)
    assert {"l": "1", "m": "2"} == dict(replaced.labels)
    assert replaced == await store.get("head", "a")


async def test_chunk_is_never_replaced(store: Store) -> None:
    """A chunk is what it was made as; only to remove it is allowed."""
    chunk = await store.create("chunk", "task-a-history-1", b"1", labels={"l": "1"})
    with pytest.raises(ValidationError):
        await store.replace(chunk, b"2")
    assert chunk == await store.get("chunk", "task-a-history-1")
    await store.delete(chunk)
    assert await store.get("chunk", "task-a-history-1") is None


async def test_kinds_do_not_collide(store: Store) -> None:
    """The same key in two kinds is two documents."""
    head = await store.create("head", "a", b"head")
    note = await store.create("note", "a", b"note")
    await store.delete(head)
    assert await store.get("head", "a") is None
    assert note == await store.get("note", "a")


async def test_kind_and_key_are_told_apart(store: Store) -> None:
    """Where the kind ends and the key begins is kept."""
    await store.create("he", "ada", b"1")
    assert await store.get("head", "a") is None
    assert await store.get("h", "eada") is None


async def test_another_replica_reads_a_write_at_once(store: Store, other: Store) -> None:
    """A get returns the newest acknowledged revision, whoever wrote it."""
    document = await store.create("head", "a", b"0")
    for number in range(1, 20):
        assert document == await other.get("head", "a")
        document = await store.replace(document, str(number).encode())
    assert document == await other.get("head", "a")


async def test_callers_mapping_is_copied(store: Store) -> None:
    """What a caller does to its mappings afterwards does not reach the document."""
    fields, labels = {"f": "1"}, {"l": "1"}
    created = await store.create("head", "a", b"1", fields=fields, labels=labels)
    fields["f"] = labels["l"] = "2"
    assert ({"f": "1"}, {"l": "1"}) == (dict(created.fields), dict(created.labels))
    assert created == await store.get("head", "a")


async def test_no_revision_is_used_twice(store: Store, other: Store) -> None:
    """Every write has a revision of its own, through deletes and creates of the same key."""
    seen = []
    for number in range(30):
        created = await (store, other)[number % 2].create("head", "a", b"1")
        replaced = await (other, store)[number % 2].replace(created, b"2")
        await store.delete(replaced)
        seen += [created.revision, replaced.revision]
    assert len(seen) == len(set(seen))

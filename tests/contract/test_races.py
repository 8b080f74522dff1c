"""Many writers on one storage: who wins, who loses, and what a reader sees meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from mendloop.core.errors import DocumentExists, RevisionConflict
from mendloop.stores.port import Document, Store


async def increment(store: Store, key: str) -> Document:
    while True:
        document = await store.get("head", key)
        assert document is not None
        try:
            return await store.replace(document, str(int(document.body) + 1).encode())
        except RevisionConflict:
            continue


@pytest.mark.v1_write_fails
async def test_two_creators_one_wins(replicas: list[Store], rounds: int) -> None:
    """Of 16 creators of one key exactly one is told that it won, and its body is stored."""
    for turn in range(rounds):
        answers = await asyncio.gather(
            *(
                replicas[n % len(replicas)].create("head", f"{turn}", f"{n}".encode())
                for n in range(16)
            ),
            return_exceptions=True,
        )
        winners = [answer for answer in answers if isinstance(answer, Document)]
        losers = [answer for answer in answers if isinstance(answer, DocumentExists)]
        assert (1, 15) == (len(winners), len(losers))
        assert winners[0] == await replicas[0].get("head", f"{turn}")


@pytest.mark.v1_write_fails
async def test_no_increment_is_lost(replicas: list[Store], rounds: int) -> None:
    """Compare-and-set increments from several replicas are all counted."""
    await replicas[0].create("head", "a", b"0")

    async def work(store: Store) -> list[Document]:
        return [await increment(store, "a") for _ in range(rounds)]

    counted = await asyncio.gather(*(work(store) for store in replicas for _ in range(2)))
    total = 2 * len(replicas) * rounds
    numbers = sorted(int(document.body) for some in counted for document in some)
    assert list(range(1, total + 1)) == numbers
    assert total == len({document.revision for some in counted for document in some})


@pytest.mark.v1_write_fails
async def test_one_deleter_wins(replicas: list[Store], rounds: int) -> None:
    """Of several deletes of one revision exactly one is acknowledged."""
    for turn in range(rounds):
        document = await replicas[0].create("head", f"{turn}", b"1")
        answers = await asyncio.gather(
            *(store.delete(document) for store in replicas), return_exceptions=True
        )
        assert 1 == answers.count(None)


@pytest.mark.v1_write_fails
async def test_delete_and_replace_do_not_both_win(replicas: list[Store], rounds: int) -> None:
    """Of a delete and a replace of one revision exactly one lands, and the other is told so."""
    for turn in range(rounds):
        document = await replicas[0].create("head", f"{turn}", b"1")
        deleted, replaced = await asyncio.gather(
            replicas[1].delete(document),
            replicas[2].replace(document, b"2"),
            return_exceptions=True,
        )
        read = await replicas[3].get("head", f"{turn}")
        if deleted is None:
            assert isinstance(replaced, RevisionConflict)
            assert read is None
        else:
            assert isinstance(deleted, RevisionConflict)
            assert replaced == read


async def test_no_reader_sees_half_a_write(replicas: list[Store], rounds: int) -> None:
    """Body, fields, labels and revision that are read together were written together."""
    document = await replicas[0].create("head", "a", b"0" * 9000, fields={"n": "0"})
    is_over = False

    async def write() -> None:
        nonlocal document, is_over
        for number in range(rounds * 2):
            digit = str(number % 10)
            document = await replicas[0].replace(
                document,
                digit.encode() * (9000 + number % 2 * 5000),
                fields={"n": digit},
                labels={"n": digit},
            )
        is_over = True

    async def read(store: Store) -> None:
        while not is_over:
            found = await store.get("head", "a")
            assert found is not None
            (listed,) = (await store.list("head")).documents
            for seen in (found, listed):
                assert {seen.fields["n"].encode()} == {bytes([byte]) for byte in seen.body}
                assert seen.labels.get("n", "0") == seen.fields["n"]

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        for store in replicas[1:]:
            tasks.create_task(read(store))


async def test_no_reader_goes_back_in_time(replicas: list[Store], rounds: int) -> None:
    """Who has seen a number, or knows that it was acknowledged, never reads a smaller one."""
    document = await replicas[0].create("head", "a", b"0")
    acknowledged, is_over = 0, False

    async def write() -> None:
        nonlocal document, acknowledged, is_over
        for number in range(1, rounds * 2):
            document = await replicas[0].replace(document, str(number).encode())
            acknowledged = number
        is_over = True

    async def read(store: Store) -> None:
        seen = 0
        while not is_over:
            floor = max(seen, acknowledged)
            found = await store.get("head", "a")
            assert found is not None
            seen = int(found.body)
            assert seen >= floor

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        for store in replicas[1:]:
            tasks.create_task(read(store))

"""Writes of one process that wait at the same time are one transaction, and still each its own."""

from __future__ import annotations

import asyncio
import errno
import struct
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType

import pytest

from mendloop.core.errors import DocumentExists, RevisionConflict, StoreError, StoreUnavailable
from mendloop.stores.port import Document
from mendloop.stores.sqlite import SqliteStore, open_sqlite

_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24


async def _at_once(
    store: SqliteStore, calls: list[Awaitable[Document | None]]
) -> list[Document | BaseException | None]:
    """Let *calls* wait until all of them do."""
    gate = threading.Event()
    holding = asyncio.ensure_future(store._worker.call(gate.wait))
    waiting = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0.02)
    gate.set()
    await holding
    return await asyncio.gather(*waiting, return_exceptions=True)


def _transactions(path: Path) -> int:
    """How many have been written to the log: the last frame of each says how large the file is."""
    log = Path(f"{path}-wal").read_bytes()
    (page_bytes,) = struct.unpack_from(">I", log, 8)
    frame_bytes = _FRAME_HEADER_BYTES + page_bytes
    starts = range(_WAL_HEADER_BYTES, len(log), frame_bytes)
    return sum(struct.unpack_from(">I", log, start + 4)[0] > 0 for start in starts)


async def test_writes_that_wait_together_wait_once_for_the_disk(tmp_path: Path) -> None:
    """Twenty that wait are one transaction; what is refused among them touches no other."""
    path = tmp_path / "state.db"
    store = await open_sqlite(path)
    old = await store.create("head", "old", b"1")
    new = await store.replace(old, b"2")
    before = _transactions(path)
    calls: list[Awaitable[Document | None]] = [
        store.create("head", f"{number:02}", b"x") for number in range(18)
    ]
    calls += [store.replace(old, b"too late"), store.create("head", "05", b"y")]
    answers = await _at_once(store, calls)
    assert before + 1 == _transactions(path)
    assert all(isinstance(answer, Document) for answer in answers[:18])
    assert [RevisionConflict, DocumentExists] == [type(answer) for answer in answers[18:]]
    keys = [document.key for document in (await store.list("head")).documents]
    assert [*(f"{number:02}" for number in range(18)), "old"] == keys
    assert new == await store.get("head", "old")
    assert b"x" == (await store.list("head")).documents[5].body
    await store.close()


async def test_more_than_one_transaction_takes_are_done_in_order(tmp_path: Path) -> None:
    """However many wait, each is done, and the first of two that want the same wins."""
    store = await open_sqlite(tmp_path / "state.db")
    calls: list[Awaitable[Document | None]] = [
        store.create("head", f"{number // 2:03}", b"%d" % (number % 2)) for number in range(200)
    ]
    answers = await _at_once(store, calls)
    assert [Document, DocumentExists] * 100 == [type(answer) for answer in answers]
    assert {b"0"} == {document.body for document in (await store.list("head")).documents}
    await store.close()


@pytest.mark.parametrize(
    ("call", "code"),
    [("pwrite", errno.EIO), ("pwrite", errno.ENOSPC), ("mmap", errno.ENOMEM)],
)
async def test_a_fault_among_them_loses_and_invents_nothing(
    faults: ModuleType,
    check_integrity: Callable[[Path], str],
    tmp_path: Path,
    call: str,
    code: int,
) -> None:
    """Whichever system call fails, what was acknowledged is there, and what was refused is not."""
    number, was_hit = 0, True
    while was_hit:
        number += 1
        path = tmp_path / f"{number}.db"
        store = await open_sqlite(path)
        keys = [f"{key}" for key in range(5)]
        with faults.failing_call(call) as fault:
            fault.number, fault.code = number, code
            creates: list[Awaitable[Document | None]] = [
                store.create("head", key, key.encode() * 3000) for key in keys
            ]
            answers = await _at_once(store, creates)
            was_hit = fault.was_hit
        await store.close()
        store = await open_sqlite(path)
        there = {document.key for document in (await store.list("head")).documents}
        for key, answer in zip(keys, answers, strict=True):
            is_open = isinstance(answer, StoreUnavailable) and answer.maybe_stored
            assert isinstance(answer, (Document, StoreError)), answer
            assert is_open or isinstance(answer, Document) == (key in there), (number, answer)
        await store.close()
        assert "ok" == check_integrity(path)
    assert number > 1 or call == "mmap"


async def test_a_failing_sync_leaves_each_of_them_open(faults: ModuleType, tmp_path: Path) -> None:
    """Where the one sync fails, every caller is told that its write may have landed."""
    if not faults.can_fail_syncs():
        pytest.skip("needs seccomp on x86_64 or aarch64")
    store = await open_sqlite(tmp_path / "state.db")
    await store.create("head", "0", b"0")
    await store._worker.call(faults.fail_syncs)
    old = await store.get("head", "0")
    assert old is not None
    calls: list[Awaitable[Document | None]] = [
        store.create("head", "1", b"1"),
        store.create("head", "1", b"2"),
        store.replace(old, b"1"),
    ]
    for answer in await _at_once(store, calls):
        assert isinstance(answer, StoreUnavailable)
        assert answer.maybe_stored
    await store.close()

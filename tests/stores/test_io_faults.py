"""The store survives its disk: the N-th I/O fails, for every N."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import ModuleType

import pytest

from mendloop.core.errors import (
    DocumentExists,
    RevisionConflict,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from mendloop.stores.port import Document
from mendloop.stores.sqlite import SqliteStore, open_sqlite

SIZES = {"small": 40, "medium": 3_000, "large": 12_000}


class Witness:
    """Runs a fixed job and remembers what each key may hold, going by the answers alone."""

    def __init__(self) -> None:
        self.allowed: dict[str, set[bytes | None]] = {}
        self.errors: list[StoreError] = []

    async def write(
        self, key: str, body: bytes | None, call: Awaitable[Document | None]
    ) -> Document | None:
        before = self.allowed.get(key, {None})
        try:
            document = await call
        except (DocumentExists, RevisionConflict):
            raise
        except StoreError as error:
            is_open = isinstance(error, StoreUnavailable) and error.maybe_stored
            self.allowed[key] = before | {body} if is_open else before
            self.errors.append(error)
            return None
        self.allowed[key] = {body}
        return document

    async def run(self, store: SqliteStore) -> None:
        """Create, replace, delete and list in a fixed order, going on after each error."""
        for key, size in SIZES.items():
            await self.write(key, b"1" * size, store.create("head", key, b"1" * size))
        for turn in (b"2", b"3"):
            for key, size in reversed(SIZES.items()):
                await self._replace(store, key, turn * (size + 7 * len(turn)))
        document = await self._get(store, "medium")
        if document is not None:
            await self.write("medium", None, store.delete(document))
        try:
            await store.list("head")
        except StoreError as error:
            self.errors.append(error)

    async def check(self, store: SqliteStore) -> None:
        """Hold the store to its answers."""
        for key, allowed in self.allowed.items():
            document = await store.get("head", key)
            assert (None if document is None else document.body) in allowed

    async def _get(self, store: SqliteStore, key: str) -> Document | None:
        try:
            document = await store.get("head", key)
        except StoreError as error:
            self.errors.append(error)
            return None
        assert (None if document is None else document.body) in self.allowed[key]
        return document

    async def _replace(self, store: SqliteStore, key: str, body: bytes) -> None:
        document = await self._get(store, key)
        if document is not None:
            labels = {"turn": body[:1].decode()}
            await self.write(key, body, store.replace(document, body, labels=labels))


async def open_after_faults(path: Path, errors: list[StoreError]) -> SqliteStore:
    """Open the store, again where a fault hits the opening."""
    for _ in range(3):
        try:
            return await open_sqlite(path)
        except StoreError as error:
            errors.append(error)
    raise AssertionError(errors)


async def copy_as_crashed(path: Path, target: Path) -> Path:
    """Copy what a crash would leave: the file and its log, and no shared memory."""
    # Another process copies: closing the file in this one would drop SQLite's locks on it.
    target.mkdir()
    names = [name for name in (path, Path(f"{path}-wal")) if name.exists()]
    copying = await asyncio.create_subprocess_exec("cp", *names, target)
    assert 0 == await copying.wait()
    return target / path.name


async def check_reopened(path: Path, witness: Witness, integrity: Callable[[Path], str]) -> None:
    store = await open_sqlite(path)
    try:
        await witness.check(store)
    finally:
        await store.close()
    assert "ok" == integrity(path)


FAULTS = [
    ("pwrite", errno.EIO),
    ("pwrite", errno.ENOSPC),
    ("pread", errno.EIO),
    ("ftruncate", errno.EIO),
    ("open", errno.EACCES),
    ("open", errno.EMFILE),
    ("fstat", errno.EIO),
    ("mmap", errno.ENOMEM),
]


@pytest.mark.parametrize(
    ("call", "code"), FAULTS, ids=[f"{call}-{errno.errorcode[code]}" for call, code in FAULTS]
)
async def test_one_failing_call_loses_and_invents_nothing(
    faults: ModuleType,
    check_integrity: Callable[[Path], str],
    tmp_path: Path,
    call: str,
    code: int,
) -> None:
    """
    Whichever system call fails, answers stay true: also after closing, and after a crash.

    Acknowledged is present, refused is absent, the file is sound, and the same store goes on.
    """
    number, hits = 0, 0
    while True:
        number += 1
        path, witness = tmp_path / f"{number}.db", Witness()
        await (await open_sqlite(path)).close()
        with faults.failing_call(call) as fault:
            fault.number, fault.code = number, code
            store = await open_after_faults(path, witness.errors)
            await witness.run(store)
            await witness.check(store)
            await witness.write("after", b"1", store.create("head", "after", b"1"))
            crashed = await copy_as_crashed(path, tmp_path / f"{number}-crashed")
            await store.close()
            hits += fault.was_hit
        assert fault.was_hit or [] == witness.errors
        await check_reopened(path, witness, check_integrity)
        await check_reopened(crashed, witness, check_integrity)
        if not fault.was_hit:
            break
    assert hits == number - 1 > 0


async def test_no_room_is_told_from_other_faults(faults: ModuleType, tmp_path: Path) -> None:
    """A write that finds the disk full raises StoreFull, lands not at all, and later succeeds."""
    store = await open_sqlite(tmp_path / "full.db")
    with faults.failing_call("pwrite") as fault:
        fault.code, fault.number = errno.ENOSPC, 2
        with pytest.raises(StoreFull, match="room"):
            await store.create("head", "a", b"1")
        assert await store.get("head", "a") is None
        assert b"1" == (await store.create("head", "a", b"1")).body
    await store.close()


@pytest.mark.parametrize("calls_before", range(9))
async def test_failing_sync_is_never_acknowledged(
    faults: ModuleType,
    check_integrity: Callable[[Path], str],
    tmp_path: Path,
    calls_before: int,
) -> None:
    """From the first failing sync on no write is acknowledged; each says that it may have landed."""
    if not faults.can_fail_syncs():
        pytest.skip("needs seccomp on x86_64 or aarch64")
    path, witness = tmp_path / "sync.db", Witness()
    store = await open_sqlite(path)
    keys = [f"{number}" for number in range(12)]
    for key in keys[:calls_before]:
        await witness.write(key, b"1", store.create("head", key, b"1"))
    await store._worker.call(faults.fail_syncs)
    for key in keys[calls_before:]:
        await witness.write(key, b"1", store.create("head", key, b"1"))
    assert len(keys) - calls_before == len(witness.errors)
    assert are_all_open(witness.errors)
    crashed = await copy_as_crashed(path, tmp_path / "crashed")
    await store.close()
    await check_reopened(path, witness, check_integrity)
    await check_reopened(crashed, witness, check_integrity)


def are_all_open(errors: Iterable[StoreError]) -> bool:
    return all(isinstance(error, StoreUnavailable) and error.maybe_stored for error in errors)

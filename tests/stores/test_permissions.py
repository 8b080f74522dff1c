"""Files and folders that may be read and not written, and those that are made."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from mendloop.stores.sqlite import open_sqlite

Script = Callable[..., "Popen[str]"]

WRITES = ("create", "replace", "delete")


async def make_store(path: Path) -> None:
    store = await open_sqlite(path)
    await store.create("head", "a", b"old")
    await store.close()


async def run_as(script: Script, user: int, path: Path) -> dict[str, str]:
    process = script("as_user.py", user, path)
    out, err = await asyncio.to_thread(process.communicate, None, 60)
    assert "" == err
    told: dict[str, str] = json.loads(out)
    return told


@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o444, 0o555), (0o444, 0o777), (0o666, 0o555)]
)
async def test_what_may_not_be_written_can_still_be_read(
    script: Script, open_folder: Path, mortal: int, file_mode: int, folder_mode: int
) -> None:
    """On a read-only file, folder or both, reads work and writes raise StoreReadOnly."""
    path = open_folder / "store.db"
    await make_store(path)
    before = path.read_bytes()
    path.chmod(file_mode)
    open_folder.chmod(folder_mode)
    told = await run_as(script, mortal, path)
    assert ("old", "old", "old") == (told["get"], told["list"], told["again"])
    for write in WRITES:
        assert told[write].startswith("StoreReadOnly: "), told[write]
        assert str(path) in told[write]
    assert before == path.read_bytes()


async def test_reader_without_rights_sees_a_live_writers_writes(
    script: Script, open_folder: Path, mortal: int
) -> None:
    """While somebody else has the store open, a user who may only read sees the newest writes."""
    path = open_folder / "store.db"
    await make_store(path)
    path.chmod(0o644)
    store = await open_sqlite(path)
    document = await store.get("head", "a")
    assert document is not None
    await store.replace(document, b"newest")
    told = await run_as(script, mortal, path)
    await store.close()
    assert ("newest", "newest") == (told["get"], told["list"])
    assert told["create"].startswith("StoreReadOnly: ")


async def test_store_cannot_be_made_in_a_read_only_folder(
    script: Script, open_folder: Path, mortal: int
) -> None:
    """Where there is no store and none may be made, opening raises StoreReadOnly."""
    open_folder.chmod(0o555)
    for path in (open_folder / "store.db", open_folder / "new" / "store.db"):
        told = await run_as(script, mortal, path)
        assert told["open"].startswith(f"StoreReadOnly: {path}"), told
    assert [] == list(open_folder.iterdir())


async def test_unreadable_file_is_named(script: Script, open_folder: Path, mortal: int) -> None:
    """A file that may not be read is refused with words, not taken for damaged."""
    path = open_folder / "store.db"
    await make_store(path)
    path.chmod(0)
    told = await run_as(script, mortal, path)
    assert told["open"].startswith(f"StoreError: {path} may not be read")


async def test_folder_that_may_not_be_entered_is_named(
    script: Script, open_folder: Path, mortal: int
) -> None:
    """A store behind a closed folder is refused with words."""
    path = open_folder / "closed" / "store.db"
    await make_store(path)
    told = await run_as(script, mortal, path)
    assert told["open"].startswith(f"StoreReadOnly: {path}: Permission denied; ")


async def test_new_store_is_for_its_user_only(tmp_path: Path) -> None:
    """New folders are 0700 and the files 0600, the log and the shared memory included."""
    path = tmp_path / "one" / "two" / "store.db"
    store = await open_sqlite(path)
    await store.create("head", "a", b"1")
    modes = {
        str(entry.relative_to(tmp_path)): stat.S_IMODE(entry.stat().st_mode)
        for entry in tmp_path.rglob("*")
    }
    await store.close()
    expected = {"one": 0o700, "one/two": 0o700, "one/two/store.db": 0o600}
    expected |= {"one/two/store.db-wal": 0o600, "one/two/store.db-shm": 0o600}
    assert expected == modes

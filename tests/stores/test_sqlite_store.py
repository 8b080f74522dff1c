"""What the SQLite store promises beyond the contract."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import apsw
import pytest

from mendloop.core.errors import StoreError, StoreFull, StoreUnavailable
from mendloop.stores import sqlite_rows as rows
from mendloop.stores.sqlite import SqliteStore, open_sqlite

Script = Callable[..., "Popen[str]"]

FORK = """
import asyncio, os, sys, warnings
from pathlib import Path
from mendloop.core.errors import StoreError
from mendloop.stores.sqlite import open_sqlite

store = asyncio.run(open_sqlite(Path(sys.argv[1])))
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if child == 0:
    try:
        asyncio.run(asyncio.wait_for(store.get("head", "a"), 10))
    except StoreError as error:
        os._exit(7 if "fork" in str(error) else 1)
    os._exit(2)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

FORK_AND_CLOSE = """
import asyncio, os, sys, warnings
from pathlib import Path
from mendloop.stores.sqlite import open_sqlite

store = asyncio.run(open_sqlite(Path(sys.argv[1])))
warnings.simplefilter("ignore", DeprecationWarning)
child = os.fork()
if child == 0:
    asyncio.run(asyncio.wait_for(store.close(), 10))
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
asyncio.run(store.create("head", "a", b"1"))
asyncio.run(store.close())
sys.exit(code)
"""


async def test_lock_that_stays_is_reported_in_time(tmp_path: Path) -> None:
    """Past the deadline a call says that nothing was stored; once the lock is gone it works."""
    path = tmp_path / "store.db"
    store = await open_sqlite(path, busy_timeout_seconds=0.3)
    document = await store.create("head", "a", b"1")
    holder = apsw.Connection(str(path))
    holder.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        await store.replace(document, b"2")
    assert 0.3 <= time.monotonic() - begun < 5
    assert not caught.value.maybe_stored
    assert document == await store.get("head", "a")
    holder.execute("ROLLBACK")
    assert b"2" == (await store.replace(document, b"2")).body
    holder.close()
    await store.close()


async def test_waiting_for_a_lock_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    """While a call waits for another process, the event loop turns, and the call then lands."""
    path = tmp_path / "store.db"
    store = await open_sqlite(path)
    holder = apsw.Connection(str(path))
    holder.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(store.create("head", "a", b"1"))
    longest = 0.0
    for _ in range(40):
        begun = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - begun)
    assert not waiting.done()
    assert longest < 0.15
    holder.execute("ROLLBACK")
    assert b"1" == (await waiting).body
    holder.close()
    await store.close()


async def test_cancelled_caller_leaves_no_transaction(tmp_path: Path) -> None:
    """A caller that is cancelled while it waits for a lock leaves no lock of its own."""
    path = tmp_path / "store.db"
    store = await open_sqlite(path, busy_timeout_seconds=0.2)
    holder = apsw.Connection(str(path))
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.create("head", "a", b"1"), 0.05)
    assert await store.get("head", "a") is None
    holder.execute("ROLLBACK")
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("ROLLBACK")
    holder.close()
    await store.close()


async def test_cancelled_opening_lets_go_of_the_file(tmp_path: Path) -> None:
    """An opening that is cancelled at any moment leaves no connection behind."""
    path = tmp_path / "store.db"
    for pause_seconds in (0, 0.0005, 0.001, 0.002, 0.005):
        opening = asyncio.create_task(open_sqlite(path))
        await asyncio.sleep(pause_seconds)
        opening.cancel()
        answers = await asyncio.gather(opening, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, SqliteStore):
                await answer.close()
    async with asyncio.timeout(10):
        while Path(f"{path}-shm").exists():  # noqa: ASYNC110 - the file system tells nobody
            await asyncio.sleep(0.01)


async def test_close_serves_the_calls_that_wait(tmp_path: Path) -> None:
    """Writes that were handed over before the close are stored and acknowledged."""
    store = await open_sqlite(tmp_path / "store.db")
    waiting = [asyncio.create_task(store.create("head", f"{n}", b"1")) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert 20 == len(await asyncio.gather(*waiting))


async def test_store_is_one_file_when_closed(tmp_path: Path) -> None:
    """After the last close the log is folded in: the file alone can be copied."""
    path = tmp_path / "store.db"
    store, other = await open_sqlite(path), await open_sqlite(path)
    await store.create("head", "a", b"1")
    await store.close()
    await other.close()
    assert [path] == list(tmp_path.iterdir())


async def test_link_and_target_are_one_store(tmp_path: Path) -> None:
    """A store reached through symbolic links is the same store, with the same log."""
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "link.db").symlink_to("folder/store.db")
    store = await open_sqlite(tmp_path / "link.db")
    other = await open_sqlite(tmp_path / "real" / "store.db")
    document = await store.create("head", "a", b"1")
    assert document == await other.get("head", "a")
    assert b"2" == (await other.replace(document, b"2")).body
    await store.close()
    await other.close()


async def test_stored_text_is_readable_by_hand(tmp_path: Path) -> None:
    """Body, fields and labels are plain JSON to whoever opens the file with the sqlite3 shell."""
    path = tmp_path / "store.db"
    store = await open_sqlite(path)
    await store.create(
        "head", "a", b'{"iteration": 3}', fields={"f": "значение"}, labels={"l": "x"}
    )
    await store.close()
    connection = apsw.Connection(str(path))
    row = connection.execute(
        "SELECT CAST(body AS TEXT), json_extract(CAST(body AS TEXT), '$.iteration'), fields,"
        " labels FROM document WHERE kind = 'head' AND key = 'a'"
    ).fetchone()
    connection.close()
    assert ('{"iteration": 3}', 3, '{"f":"значение"}', '{"l":"x"}') == row


async def test_deleted_text_leaves_the_file(tmp_path: Path) -> None:
    """What was deleted or written over is no longer found in the closed file."""
    path = tmp_path / "store.db"
    store = await open_sqlite(path)
    for size in (1, 300):
        document = await store.create("head", "a", b"secret-one" * size)
        document = await store.replace(document, b"secret-two" * size)
        await store.delete(document)
    await store.close()
    content = path.read_bytes()
    assert (False, False) == (b"secret-one" in content, b"secret-two" in content)


async def test_page_is_bounded_in_bytes(tmp_path: Path) -> None:
    """A page of large documents ends early, and the pages still join to the whole."""
    store = await open_sqlite(tmp_path / "store.db")
    for number in range(12):
        await store.create("head", f"{number:02}", b"x" * 3_000_000)
    keys, sizes, cursor = [], [], None
    while True:
        page = await store.list("head", cursor=cursor)
        keys += [document.key for document in page.documents]
        sizes.append(sum(len(document.body) for document in page.documents))
        cursor = page.cursor
        if cursor is None:
            break
    await store.close()
    assert [f"{number:02}" for number in range(12)] == keys
    assert max(sizes) < 20_000_000


@pytest.mark.parametrize("name", ["x" * 300, "a\udcffb"])
async def test_impossible_name_is_refused_with_words(tmp_path: Path, name: str) -> None:
    """A name that no file, or no SQLite file, can have is refused, and not as a passing fault."""
    with pytest.raises(StoreError, match="name another file") as caught:
        await open_sqlite(tmp_path / name)
    assert not caught.value.retryable


def test_use_after_fork_says_so(tmp_path: Path) -> None:
    """A store that was opened before a fork is refused in the child, rather than hanging."""
    command = [sys.executable, "-c", FORK, str(tmp_path / "store.db")]
    assert 7 == subprocess.run(command, check=False, timeout=60).returncode


def test_close_after_fork_leaves_the_parents_store_alone(tmp_path: Path) -> None:
    """A child that closes what it inherited neither hangs nor takes the store from its parent."""
    command = [sys.executable, "-c", FORK_AND_CLOSE, str(tmp_path / "store.db")]
    assert 0 == subprocess.run(command, check=False, timeout=60).returncode


@pytest.mark.parametrize("limit_bytes", [100, 20_480, 30_000])
async def test_no_room_for_the_shared_memory_is_full(
    script: Script, tmp_path: Path, limit_bytes: int
) -> None:
    """A file-size limit that SQLite's own files do not fit in is named as what it is."""
    path = tmp_path / "store.db"
    store = await open_sqlite(path)
    await store.create("head", "0000", b"1")
    await store.close()
    out, err = await asyncio.to_thread(
        script("fill_up.py", path, limit_bytes).communicate, None, 60
    )
    assert ("", StoreFull.__name__) == (err, json.loads(out)["refusal"])
    store = await open_sqlite(path)
    assert b"1" == (await store.get("head", "0000")).body
    await store.close()


@pytest.mark.parametrize("limit_bytes", [8_192, 33_000, 100_000, 400_000])
async def test_file_size_limit_loses_nothing(
    script: Script, tmp_path: Path, limit_bytes: int
) -> None:
    """At a file-size limit writes raise StoreFull, reads go on, and so do writes after it."""
    path = tmp_path / "store.db"
    process = script("fill_up.py", path, limit_bytes)
    out, err = await asyncio.to_thread(process.communicate, None, 60)
    assert "" == err
    told = json.loads(out)
    assert StoreFull.__name__ == told["refusal"]
    if "full" not in told:
        assert [] == list(tmp_path.iterdir())
        return
    assert told["acknowledged"] == told["full"]
    store = await open_sqlite(path)
    kept = [document.key for document in (await store.list("head")).documents]
    await store.close()
    assert sorted([*told["acknowledged"], "after"]) == kept


async def test_a_path_may_be_a_text(tmp_path: Path) -> None:
    """The file is named as in any other call of Python."""
    store = await open_sqlite(str(tmp_path / "state.db"))
    await store.close()
    assert (tmp_path / "state.db").is_file()


async def test_a_file_that_others_write_to_is_not_taken_for_damaged(tmp_path: Path) -> None:
    """What is checked when a file is opened is of one moment, though a document comes meanwhile."""
    path = tmp_path / "state.db"
    await (await open_sqlite(path)).close()
    other = apsw.Connection(str(path))
    came = []

    def write_before_the_index_is_read(_: object, statement: str, __: object) -> bool:
        if "INDEXED BY" in statement and not came:
            with other:
                came.append(rows.insert(other, "note", "a", rows.Content(b"", "{}", "{}")))
        return True

    def hook(connection: apsw.Connection) -> None:
        connection.exec_trace = write_before_the_index_is_read

    apsw.connection_hooks.append(hook)
    try:
        store = await open_sqlite(path)
    finally:
        apsw.connection_hooks.remove(hook)
    assert came == [await store.get("note", "a")]
    await store.close()
    other.close()


async def test_room_is_what_the_file_has_and_the_disk_gives(tmp_path: Path) -> None:
    """What is stored counts as used, what was deleted as free, and the file may grow to the disk's end."""
    store = await open_sqlite(tmp_path / "state.db")
    empty = await store.room()
    made = [await store.create("note", f"n-{number}", b"x" * 100_000) for number in range(10)]
    full = await store.room()
    assert empty.used_bytes is not None
    assert full.used_bytes is not None
    assert full.limit_bytes is not None
    assert 1_000_000 <= full.used_bytes - empty.used_bytes <= 1_100_000
    free_bytes = shutil.disk_usage(tmp_path).free
    assert full.limit_bytes - full.used_bytes == pytest.approx(free_bytes, rel=0.1)
    for document in made:
        await store.delete(document)
    assert empty.used_bytes == (await store.room()).used_bytes
    await store.close()

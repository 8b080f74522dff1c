"""Files that are no store, or no longer one: told apart, and never taken for a sound one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import apsw
import pytest

from mendloop.core.errors import StateError, StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from mendloop.stores.port import Document
from mendloop.stores.sqlite import open_sqlite
from mendloop.stores.sqlite_file import LAYOUT

PAGE_BYTES = 4096


async def make_store(path: Path, documents: int = 120) -> dict[str, Document]:
    """Make a store whose pages are of every type."""
    store, sizes = await open_sqlite(path), random.Random(7)
    made = {}
    for number in range(documents):
        key = f"task-{number:03}"
        body = sizes.randbytes(sizes.choice((20, 300, 900, 3_000)))
        labels = {"sort": "damage", "task-id": key}
        made[key] = await store.create(
            "note", key, body, fields={"iteration": str(number)}, labels=labels
        )
    await store.close()
    return made


async def read_all(path: Path, keys: list[str]) -> tuple[list[Document | None], list[Document]]:
    """Read the whole store twice: key by key, and as a listing."""
    store = await open_sqlite(path)
    try:
        read = [await store.get("note", key) for key in keys]
        return read, list((await store.list("note")).documents)
    finally:
        await store.close()


async def refusal(path: Path) -> StateError | None:
    """Open the store and write to it; say what was refused."""
    try:
        store = await open_sqlite(path)
    except StateError as error:
        return error
    await store.close()
    return None


def flips(size: int, count: int) -> list[tuple[int, int]]:
    """Choose bits: half of them where SQLite keeps its structure, the others anywhere."""
    places = random.Random(3)
    structure = [*range(100)]
    structure += [page + byte for page in range(0, size, PAGE_BYTES) for byte in range(40)]
    bytes_of_structure = places.choices(structure, k=count // 2)
    anywhere = [places.randrange(size) for _ in range(count // 2)]
    return [(byte, places.randrange(8)) for byte in bytes_of_structure + anywhere]


async def test_no_flipped_bit_is_read_as_sound(tmp_path: Path, is_soak: bool) -> None:
    """After any one bit of the file flips, reads give equal documents or say that it is damaged."""
    path = tmp_path / "store.db"
    made = await make_store(path)
    sound, detected, silent = path.read_bytes(), 0, []
    for byte, bit in flips(len(sound), 5_000 if is_soak else 500):
        flipped = bytearray(sound)
        flipped[byte] ^= 1 << bit
        damaged = tmp_path / f"{byte}-{bit}.db"
        damaged.write_bytes(flipped)
        try:
            read, listed = await read_all(damaged, list(made))
        except (StoreCorrupt, StoreTooNew):
            detected += 1
        else:
            are_equal = [
                _is_equal_or_says(made[key], one) for key, one in zip(made, read, strict=True)
            ]
            if not all(are_equal) or read != listed:
                silent.append((byte, bit))
        damaged.unlink()
    assert [] == silent
    assert detected > 0


def _is_equal_or_says(made: Document, read: Document | None) -> bool:
    return read == made or (read is not None and bool(read.damage))


async def test_write_to_a_damaged_store_invents_nothing(tmp_path: Path) -> None:
    """A key that damage hides is not taken for free, and what is damaged is not written over."""
    path = tmp_path / "store.db"
    made = await make_store(path)
    store = await open_sqlite(path)
    await store._read(lambda connection: connection.pragma("shrink_memory"))
    sound = path.read_bytes()
    # The index of keys comes first in the file; what it says is what a search goes by.
    place = sound.index(b"notetask-060") + len("headtask-06")
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\x7f")
    assert isinstance(await refusal(path), StoreCorrupt)
    with pytest.raises(StoreCorrupt):
        await store.get("note", "task-060")
    with pytest.raises(StoreCorrupt):
        await store.create("note", "task-060", b"new")
    assert made["task-001"] == await store.get("note", "task-001")
    await store.close()


async def test_damaged_counter_gives_out_no_revision_twice(tmp_path: Path) -> None:
    """A counter that fell back is found out before it is used."""
    path = tmp_path / "store.db"
    made = await make_store(path, 3)
    change(path, "UPDATE counter SET value = 1")
    store = await open_sqlite(path)
    with pytest.raises(StoreCorrupt, match="counter"):
        await store.replace(made["task-000"], b"new")
    with pytest.raises(StoreCorrupt, match="counter"):
        await store.create("note", "new", b"new")
    assert made["task-000"] == await store.get("note", "task-000")
    await store.close()


async def test_lost_document_is_missed(tmp_path: Path) -> None:
    """A row that is gone without a delete by the store is noticed when the store is opened."""
    path = tmp_path / "store.db"
    await make_store(path, 3)
    change(path, "DELETE FROM document WHERE key = 'task-001'")
    assert isinstance(await refusal(path), StoreCorrupt)


async def test_truncated_file_is_refused(tmp_path: Path) -> None:
    """A file that was cut at any length is refused, down to the empty file."""
    path, cut = tmp_path / "store.db", tmp_path / "cut.db"
    await make_store(path)
    sound = path.read_bytes()
    lengths = {*range(120), *range(480, len(sound), 487), *range(0, len(sound), PAGE_BYTES)}
    lengths |= {length - 1 for length in range(PAGE_BYTES, len(sound) + 1, PAGE_BYTES)}
    taken = []
    for length in sorted(lengths):
        cut.write_bytes(sound[:length])
        if not isinstance(await refusal(cut), StoreCorrupt):
            taken.append(length)
        assert sound[:length] == cut.read_bytes()
    assert [] == taken


async def test_folder_as_a_file_is_named(tmp_path: Path) -> None:
    """A folder in the place of the file is refused, with what to do."""
    error = await refusal(tmp_path)
    assert isinstance(error, StoreCorrupt)
    assert f"{tmp_path} is a folder: name a file in it" in str(error)


async def test_file_as_a_folder_is_named(tmp_path: Path) -> None:
    """A file in the place of a folder is refused with its path."""
    (tmp_path / "file").write_text("")
    error = await refusal(tmp_path / "file" / "store.db")
    assert isinstance(error, StoreError)
    assert "Not a directory" in str(error)


@pytest.mark.parametrize("content", [b"", b"x", b"{}\n" * 999, b"SQLite format 3\0", b"\0" * 8192])
async def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """A file that is no database is refused and keeps its bytes."""
    path = tmp_path / "store.db"
    path.write_bytes(content)
    assert isinstance(await refusal(path), StoreCorrupt)
    assert content == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


async def test_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """A named pipe is refused; opening it would wait for ever."""
    os.mkfifo(tmp_path / "store.db")
    assert isinstance(await refusal(tmp_path / "store.db"), StoreCorrupt)


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A SQLite database of another program is refused and keeps its bytes."""
    path = tmp_path / "store.db"
    change(path, "CREATE TABLE document (kind, key)")
    before = path.read_bytes()
    error = await refusal(path)
    assert isinstance(error, StoreCorrupt)
    assert "another program" in str(error)
    assert before == path.read_bytes()


async def test_foreign_tables_are_refused(tmp_path: Path) -> None:
    """A store that somebody added a table, a trigger or a view to is not a store."""
    path = tmp_path / "store.db"
    await make_store(path, 1)
    change(path, "CREATE TRIGGER t AFTER UPDATE ON document BEGIN DELETE FROM document; END")
    assert isinstance(await refusal(path), StoreCorrupt)


async def test_newer_layout_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A store of a newer mendloop is refused before a byte is written, and no file is added."""
    path = tmp_path / "store.db"
    await make_store(path, 3)
    change(path, f"PRAGMA user_version = {LAYOUT + 1}")
    before = path.read_bytes()
    error = await refusal(path)
    assert isinstance(error, StoreTooNew)
    assert "upgrade mendloop" in str(error)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


async def test_newer_layout_in_the_log_alone_is_refused(tmp_path: Path) -> None:
    """A newer layout that a crash left in the log is seen, and neither file is written to."""
    path, crashed = tmp_path / "store.db", tmp_path / "crashed.db"
    await make_store(path, 3)
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", LAYOUT + 1)
    for suffix in ("", "-wal"):
        Path(f"{crashed}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    connection.close()
    before = [Path(f"{crashed}{suffix}").read_bytes() for suffix in ("", "-wal")]
    assert isinstance(await refusal(crashed), StoreTooNew)
    assert before == [Path(f"{crashed}{suffix}").read_bytes() for suffix in ("", "-wal")]


async def test_compacted_copy_is_a_store(tmp_path: Path) -> None:
    """A copy made with VACUUM INTO, which has no log, is read, and written with one."""
    path, copy = tmp_path / "store.db", tmp_path / "copy.db"
    made = await make_store(path)
    change(path, f"VACUUM INTO '{copy}'")
    store = await open_sqlite(copy)
    assert list(made.values()) == list((await store.list("note")).documents)
    await store.replace(made["task-000"], b"new")
    assert Path(f"{copy}-wal").exists()
    await store.close()


async def test_removed_file_is_noticed(tmp_path: Path) -> None:
    """Once the file was removed or replaced, nothing is acknowledged that would go with it."""
    path = tmp_path / "store.db"
    made = await make_store(path, 3)
    store = await open_sqlite(path)
    path.rename(tmp_path / "moved.db")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            await store.replace(made["task-000"], b"new")
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            await store.get("note", "task-000")
        path.write_bytes((tmp_path / "moved.db").read_bytes())
    path.unlink()
    (tmp_path / "moved.db").rename(path)
    assert b"new" == (await store.replace(made["task-000"], b"new")).body
    await store.close()


def change(path: Path, statement: str) -> None:
    """Do to a closed store what only its owner should."""
    connection = apsw.Connection(str(path))
    try:
        connection.execute(statement).get  # noqa: B018 - runs it to its end
    finally:
        connection.close()

"""Many processes on one file: nobody is locked out, and SIGKILL loses nothing."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from mendloop.stores.sqlite import open_sqlite

Script = Callable[..., "Popen[str]"]

PROCESSES = 8


def finish(process: Popen[str]) -> float:
    """Wait for a writer that was left alone; return the longest that one call took."""
    out, err = process.communicate(timeout=300)
    assert ("", 0) == (err, process.returncode)
    return float(out)


def read_log(log: Path, word: str) -> list[str]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split()[1] for line in lines if line.split()[0] == word]


async def check_against_log(path: Path, log: Path, kills: int) -> None:
    """Hold the store to what it acknowledged."""
    store = await open_sqlite(path)
    kept: dict[str, bytes] = {}
    cursor = None
    while True:
        page = await store.list("made", limit=400, cursor=cursor)
        kept |= {document.key: document.body for document in page.documents}
        cursor = page.cursor
        if cursor is None:
            break
    counter = await store.get("counter", "shared")
    await store.close()
    made = read_log(log, "made")
    assert [] == [key for key in made if kept.get(key) != key.encode() * 20]
    counted = [int(number) for number in read_log(log, "counted")]
    assert len(counted) == len(set(counted))
    assert counter is not None
    assert max(counted) <= int(counter.body)
    # Whoever was killed may have written once without living to log it.
    assert len(kept) - len(made) + int(counter.body) - len(counted) <= kills


async def test_nobody_is_locked_out(
    script: Script, check_integrity: Callable[[Path], str], tmp_path: Path, is_soak: bool
) -> None:
    """Eight processes write without a pause: no call fails or takes anywhere near 30 seconds."""
    path, log = tmp_path / "store.db", tmp_path / "log"
    writes = 1000 if is_soak else 100
    writers = [script("hammer.py", path, log, f"w{n}", writes) for n in range(PROCESSES)]
    longest = [await asyncio.to_thread(finish, writer) for writer in writers]
    assert max(longest) < 10
    assert PROCESSES * writes == len(log.read_text().splitlines())
    await check_against_log(path, log, 0)
    assert "ok" == check_integrity(path)


async def test_kill_loses_nothing_acknowledged(
    script: Script, check_integrity: Callable[[Path], str], tmp_path: Path, is_soak: bool
) -> None:
    """While writers are killed at random, every write that one of them logged stays stored."""
    path, log, wanted = tmp_path / "store.db", tmp_path / "log", 20_000 if is_soak else 2_000
    moments, kills, started = random.Random(9), 0, 0
    writers: list[Popen[str]] = []
    deadline = time.monotonic() + 600
    while not log.exists() or log.read_bytes().count(b"\n") < wanted:
        assert time.monotonic() < deadline
        for writer in [writer for writer in writers if writer.poll() is not None]:
            writers.remove(writer)
            assert writer.returncode == -signal.SIGKILL, writer.communicate()[1]
        while len(writers) < PROCESSES:
            started += 1
            writers.append(script("hammer.py", path, log, f"w{started}", 1_000_000))
        await asyncio.sleep(moments.uniform(0.03, 0.2))
        for writer in moments.sample(writers, moments.choice((1, 1, 2, PROCESSES // 2))):
            writer.kill()
            kills += 1
    for writer in writers:
        writer.kill()
        writer.wait()
    assert kills >= 10
    await check_against_log(path, log, kills + PROCESSES)
    assert "ok" == check_integrity(path)
    assert [] == [entry for entry in tmp_path.iterdir() if entry.name.startswith(".mendloop-")]


@pytest.mark.parametrize("attempt", range(3))
async def test_sixteen_processes_make_one_store(
    script: Script, check_integrity: Callable[[Path], str], tmp_path: Path, attempt: int
) -> None:
    """However many processes open a store that is not there yet, they all write to the same one."""
    path, log = tmp_path / "new" / "folder" / "store.db", tmp_path / "log"
    writers = [script("hammer.py", path, log, f"w{n}", 2) for n in range(16)]
    for writer in writers:
        await asyncio.to_thread(finish, writer)
    assert 16 == len(read_log(log, "made"))
    await check_against_log(path, log, 0)
    assert "ok" == check_integrity(path)
    assert [path] == list(path.parent.iterdir())

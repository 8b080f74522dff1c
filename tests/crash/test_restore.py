"""A restore that is killed at any point is done by the next one, and readers see no half of it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from cli_user import User
from states import entry

from mendloop.core.names import CHUNK, HEAD, head_name
from mendloop.core.sealing import pointers_of
from mendloop.core.text import redact_secrets
from mendloop.manager import StateManager
from mendloop.quarantine import Quarantine
from mendloop.stores.sqlite import open_sqlite

FROM_A_COPY = (
    "head-set-aside",
    "chunk-written",
    "repair-decided",
    "repair-written",
    "chunk-removed",
)
OF_A_DELETED_TASK = ("head-decided", "head-written")

COPIED, FINDINGS = 300, 900
NAMES = [f"c{n}" for n in range(FINDINGS)]


async def worked(manager: StateManager, first: int, last: int) -> None:
    for at in range(first, last, 30):
        await manager.increment_iteration("t", max_iterations=1000)
        await manager.append_feedback("t", *(entry(name) for name in NAMES[at : at + 30]))


async def prepared(path: Path) -> str:
    """Make a task of which a third was copied aside, and that was deleted later; name the copy."""
    store = await open_sqlite(path)
    async with StateManager(store) as manager:
        await worked(manager, 0, COPIED)
        head = await store.get(HEAD, head_name("t"))
        assert head is not None
        quarantine = Quarantine(store, clock=manager.clock, redact=redact_secrets)
        name = await quarantine.set_aside("t", head, reason="by a test")
        await worked(manager, COPIED, FINDINGS)
        await manager.stop("t", reason="over")
        await manager.delete("t", reason="a mistake")
    await store.close()
    return name


async def read_all_the_while(path: Path, done: asyncio.Event) -> int:
    """Read the whole history again and again; returns how often it was there, which is always."""
    times = 0
    store = await open_sqlite(path)
    async with StateManager(store) as manager:
        while not done.is_set() or not times:
            assert NAMES == [f.pr_comment_id for f in await manager.get_feedback_history("t")]
            assert FINDINGS // 30 == await manager.get_current_iteration("t")
            times += 1
            await asyncio.sleep(0)
    await store.close()
    return times


async def killed_at(point: str, folder: Path, *restore: str) -> User:
    """Have a restore killed there, while others read; returns who called it."""
    user = User(folder)
    user.environment["MENDLOOP_CRASH_AT"] = point
    done = asyncio.Event()
    reading = asyncio.create_task(read_all_the_while(folder / "state.db", done))
    killed = user.start(*restore, start_new_session=True)
    await asyncio.to_thread(killed.communicate)
    done.set()
    assert 0 < await reading
    assert -signal.SIGKILL == killed.returncode
    del user.environment["MENDLOOP_CRASH_AT"]
    return user


async def left_over(path: Path) -> list[str]:
    """The sealed documents that the head does not point at."""
    store = await open_sqlite(path)
    async with StateManager(store) as manager:
        ledger = (await manager.require_state("t")).ledger
    pointed = {p.digest[:16] for log in (ledger.findings, ledger.log) for p in pointers_of(log)}
    chunks = [document.key for document in (await store.list(CHUNK)).documents]
    await store.close()
    return [key for key in chunks if key.rsplit("-", 1)[1] not in pointed]


@pytest.mark.parametrize("point", FROM_A_COPY)
async def test_a_killed_restore_from_a_copy_is_done_by_the_next(point: str, tmp_path: Path) -> None:
    """SIGKILL at each point: the task is as before or restored, and the next call leaves nothing over."""
    path = tmp_path / "state.db"
    name = await prepared(path)
    restore = ("restore", "t", "--from", name, "--store", f"sqlite:{path}")

    user = await killed_at(point, tmp_path, *restore)

    again = user(*restore)
    assert 0 == again.code, again.err
    shown = user("show", "t", "--store", f"sqlite:{path}", "-o", "json").json()
    assert ("InProgress", FINDINGS // 30) == (shown["status"], shown["iteration"])
    done = asyncio.Event()
    done.set()
    assert 1 == await read_all_the_while(path, done)
    assert [] == await left_over(path)
    told = user("doctor", "--store", f"sqlite:{path}")
    assert (0, "nothing is wrong\n") == (told.code, told.out)


@pytest.mark.parametrize("point", OF_A_DELETED_TASK)
async def test_a_killed_restore_of_a_deleted_task_is_done_by_the_next(
    point: str, tmp_path: Path
) -> None:
    """SIGKILL before and after its one write: the task is deleted still, or is back as it was."""
    path = tmp_path / "state.db"
    await prepared(path)
    restore = ("restore", "t", "--store", f"sqlite:{path}")

    user = await killed_at(point, tmp_path, *restore)

    again = user(*restore)
    assert (0 if point == "head-decided" else 11) == again.code, again.err
    assert "Failed" == user("show", "t", "--store", f"sqlite:{path}", "-o", "json").json()["status"]
    assert 0 == user("doctor", "--store", f"sqlite:{path}").code

"""A repair that is killed at any point is done by the next one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cli_user import User
from states import entry

from mendloop.core.names import HEAD, QUARANTINE, head_name
from mendloop.crashpoints import CRASH_POINTS
from mendloop.manager import StateManager
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

IN_A_REPAIR = CRASH_POINTS[CRASH_POINTS.index("chunk-written") :]
FINDINGS = 900


async def damaged(path: Path) -> bytes:
    """Make a task with a history whose head is cut off; returns what is left of the head."""
    store: Store = await open_sqlite(path)
    async with StateManager(store) as manager:
        await manager.create_task("t")
        for first in range(0, FINDINGS, 30):
            await manager.increment_iteration("t", max_iterations=1000)
            await manager.append_feedback("t", *(entry(f"c{n}") for n in range(first, first + 30)))
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    await store.replace(head, head.body[: len(head.body) // 2])
    await store.close()
    return head.body[: len(head.body) // 2]


async def stored(path: Path) -> tuple[int, list[str], set[bytes]]:
    """The counter, the findings, and what is set aside."""
    store: Store = await open_sqlite(path)
    async with StateManager(store) as manager:
        state = await manager.require_state("t")
        names = [found.pr_comment_id for found in await manager.get_feedback_history("t")]
    aside = {document.body for document in (await store.list(QUARANTINE)).documents}
    await store.close()
    return state.iteration, names, aside


@pytest.mark.parametrize("point", IN_A_REPAIR)
async def test_a_killed_repair_is_done_by_the_next_one(point: str, tmp_path: Path) -> None:
    """SIGKILL at each point: the head is the damaged one or a sound one, and nothing is lost by it."""
    path = tmp_path / "state.db"
    left = await damaged(path)
    user = User(tmp_path)
    repair = ("doctor", "t", "--repair", "--store", f"sqlite:{path}")
    user.environment["MENDLOOP_CRASH_AT"] = point
    killed = user.start(*repair, start_new_session=True)
    killed.communicate()
    del user.environment["MENDLOOP_CRASH_AT"]
    assert -signal.SIGKILL == killed.returncode
    again = user(*repair)
    assert again.code in {0, 17}, again.err
    iteration, names, aside = await stored(path)
    assert FINDINGS // 30 == iteration
    assert len(names) == len(set(names)) > FINDINGS - 60
    assert left in aside
    assert 0 == user("doctor", "--store", f"sqlite:{path}").code

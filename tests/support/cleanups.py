"""Tasks that are over, what is stored of them, and what a restore has to give back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from crew import open_spec
from faulty_store import FaultyStore
from states import entry

from mendloop.core.codec import encode_state
from mendloop.core.errors import StoreUnavailable
from mendloop.core.model import Settings
from mendloop.core.names import CHUNK, HEAD, HEADLESS, QUARANTINE
from mendloop.manager import StateManager
from mendloop.stores.port import Document, Store

__all__ = [
    "DAY_SECONDS",
    "StubbornStore",
    "clean_up",
    "documents",
    "end_task",
    "open_place",
    "told",
]

DAY_SECONDS = 86_400.0

_SHORT = ("--retention", "0.001", "--grace", "0.001")


class StubbornStore(FaultyStore):
    """Refuses to delete what a test names."""

    def __init__(self, store: Store, *, stubborn: str) -> None:
        super().__init__(store)
        self.stubborn = stubborn

    async def delete(self, document: Document) -> None:
        if self.stubborn and self.stubborn in document.key:
            raise StoreUnavailable(f"{document.key} stays")
        await self._store.delete(document)


async def documents(store: Store, kind: str = "") -> list[tuple[str, str, str]]:
    """Kind, key and revision of all that is stored."""
    found = []
    for one in [kind] if kind else [HEAD, CHUNK, QUARANTINE, HEADLESS]:
        cursor = None
        while True:
            page = await store.list(one, cursor=cursor)
            found += [(d.kind, d.key, d.revision) for d in page.documents]
            cursor = page.cursor
            if cursor is None:
                break
    return found


async def end_task(manager: StateManager, task_id: str, *, findings: int = 0) -> None:
    """Make a task, with a history that has left the head where there are findings; and end it."""
    await manager.create_task(task_id, settings=Settings(max_iterations=1000))
    for first in range(0, findings, 50):
        many = [entry(f"c{n}", description=f"secret-{task_id}-{n} " * 8) for n in range(50)]
        await manager.append_feedback(task_id, *(_renamed(e, first) for e in many))
        await manager.increment_iteration(task_id)
    await manager.stop(task_id, reason="over")


def _renamed(given: Any, first: int) -> Any:
    return msgspec.structs.replace(given, pr_comment_id=f"{first}-{given.pr_comment_id}")


async def told(manager: StateManager, task_id: str) -> dict[str, Any]:
    """All that a task holds: its state without the log of its commits, its findings, its commits."""
    state = await manager.require_state(task_id)
    bare = msgspec.json.decode(encode_state(state))
    for member in ("commit", "commits", "chain", "log", "restored_at"):
        bare["mendloop"].pop(member, None)
    changes = [
        msgspec.to_builtins(change)
        async for commit in manager.commits(state)
        for change in commit.changes
        if change.do not in {"delete", "restore"}
    ]
    return {
        "state": bare,
        "findings": list(map(str, await manager.get_feedback_history(task_id))),
        "changes": changes,
    }


async def open_place(place: tuple[str, ...]) -> Store:
    """Open what the options name."""
    path = place[-1]
    return await open_spec(path if path.startswith("sqlite:") else f"configmap:{path}")


def clean_up(place: tuple[str, ...], folder: Path, *, crash_at: str = "") -> int:
    """Run `mendloop cleanup` in a process group of its own; returns how it ended."""
    time.sleep(0.01)
    extra = {"MENDLOOP_CRASH_AT": crash_at} if crash_at else {}
    return subprocess.run(
        [sys.executable, "-m", "mendloop", "cleanup", *_SHORT, *place],
        env=os.environ | {"XDG_STATE_HOME": str(folder)} | extra,
        capture_output=True,
        timeout=60,
        start_new_session=True,
        check=False,
    ).returncode

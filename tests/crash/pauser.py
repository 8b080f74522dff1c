"""Brings findings to a task, and stops itself once, by SIGSTOP, between a chunk and the head that points at it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from cleanups import open_place
from faulty_store import FaultyStore
from states import entry

from mendloop.core.names import CHUNK, HEAD
from mendloop.manager import StateManager

FINDINGS = 60


async def main(*place: str) -> None:
    """Write once, and be stopped in the midst of it."""
    has_sealed, has_stopped = False, False

    def stop_between(operation: str, kind: str) -> None:
        nonlocal has_sealed, has_stopped
        has_sealed |= (operation, kind) == ("create", CHUNK)
        if has_sealed and not has_stopped and (operation, kind) == ("replace", HEAD):
            has_stopped = True
            os.kill(os.getpid(), signal.SIGSTOP)

    store = await open_place(place)
    async with StateManager(FaultyStore(store, stop_between)) as manager:
        findings = (entry(f"late{n}", description="long " * 50) for n in range(FINDINGS))
        await manager.append_feedback("t", *findings)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

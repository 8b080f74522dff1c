"""A loop whose store goes away tells of the outage, and not of what it tried to read after it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from clocks import SteppedClock
from faulty_store import DOWN, FaultyStore

from mendloop.core.errors import LeaseLost
from mendloop.loop import Loop, Plan
from mendloop.manager import StateManager
from mendloop.reports import Reviewer
from mendloop.runners.identity import this_process
from mendloop.steps import Fixer


class NeverDone:
    """A runner of commands without an end; the store goes away when one begins."""

    def __init__(self, store: FaultyStore) -> None:
        self._store = store

    async def run(self, *_args: object, **_callbacks: object) -> None:
        self._store.choose = lambda _operation, _kind: DOWN
        await asyncio.Event().wait()


async def test_a_run_that_an_outage_ends_says_so(store: FaultyStore, tmp_path: Path) -> None:
    """The lease is what was lost; that nothing can be read either is no better news."""
    async with StateManager(store, by="ann", clock=SteppedClock(), deadline_seconds=5.0) as manager:
        plan = Plan(
            reviewers=(Reviewer(name="lint", command="true"),),
            fixer=Fixer(command="true"),
            tree=tmp_path,
            lock_dir=tmp_path / "locks",
            brief_dir=tmp_path / "brief",
        )
        loop = Loop(
            manager,
            "t",
            plan,
            runner=NeverDone(store),  # type: ignore[arg-type]
            holder=this_process("ann@here", "me"),
            observer=lambda _event: None,
        )
        with pytest.raises(LeaseLost, match=r"no heartbeat .* run the same again to go on"):
            await asyncio.wait_for(loop.run(), 30)

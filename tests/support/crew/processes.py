"""Processes that are started together, killed, and started again."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from patience import eventually

from crew.records import Seen, read_records

__all__ = ["Crew", "Plan"]

_PATIENCE_SECONDS = 1800
"""In a soak on a busy machine."""


class Plan(msgspec.Struct, kw_only=True):
    """
    What one process does.

    Attributes:
        spec: Which store; see `crew.stores`.
        tasks: On how many tasks, in turns; see `task_ids`.
        who: Its name, the same one after a kill.
        log: The file that it writes to.
        sessions: How many things it asks at a time.
        turns: How many increments and how many findings each session brings to each task.
        turns_a_look: A session looks at a task every so many turns.
        deadline_seconds: How long the manager tries.
    """

    spec: str
    tasks: int = 1
    who: str = "p"
    log: str = ""
    sessions: int = 2
    turns: int = 25
    turns_a_look: int = 4
    deadline_seconds: float = 5.0

    @property
    def task_ids(self) -> list[str]:
        """The tasks."""
        return [f"t{number}" for number in range(self.tasks)]

    def is_left_in_doubt(self, name: str) -> bool:
        """Whether an operation that a kill cut off is not asked again: a quarter of them."""
        return zlib.crc32(name.encode()) % 4 == 0


class Crew:
    """
    A context manager: the processes run inside the block; those that still run at its end are killed.

    Args:
        plan: What each of them does.
        folder: For their logs.
        count: How many there are.
    """

    def __init__(self, plan: Plan, folder: Path, *, count: int = 4) -> None:
        self.plans = [
            msgspec.structs.replace(plan, who=f"p{number}", log=str(folder / f"p{number}.jsonl"))
            for number in range(count)
        ]
        self.kills = 0
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Self:
        """Start all of them, and let them go when all are ready."""
        try:
            started = [await self._start(plan) for plan in self.plans]
        except BaseException:
            await self._end()
            raise
        for process in started:
            _go(process)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave none running."""
        await self._end()

    def records(self) -> dict[str, Seen]:
        """What they have seen so far."""
        return read_records(Path(plan.log) for plan in self.plans)

    @property
    def acknowledged(self) -> int:
        """How many writes have been answered so far."""
        writes = (seen for seen in self.records().values() if seen.asked.is_write)
        return sum(seen.answer is not None for seen in writes)

    async def until_done(self, share: float) -> None:
        """Wait until this share of all writes is acknowledged."""
        total = sum(2 * plan.sessions * plan.turns * plan.tasks for plan in self.plans)
        await eventually(lambda: self.acknowledged >= share * total, seconds=_PATIENCE_SECONDS)

    async def until_next(self, *, seconds: float) -> None:
        """Wait until one more write is acknowledged, and no longer than that."""
        before = self.acknowledged
        await eventually(lambda: self.acknowledged > before, seconds=seconds)

    async def kill_one(self, dice: random.Random) -> None:
        """Kill one of those that run with SIGKILL, and start it again."""
        plan = dice.choice([p for p in self.plans if self._running[p.who].returncode is None])
        process = self._running[plan.who]
        process.kill()
        await process.communicate()
        self.kills += 1
        _go(await self._start(plan))

    async def finish(self) -> dict[str, Seen]:
        """Wait until each has asked all; none may fail or complain."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            told = await asyncio.gather(*(p.communicate() for p in self._running.values()))
        complaints = b"".join(errors for _, errors in told).decode()
        assert not complaints, complaints
        assert {0} == {process.returncode for process in self._running.values()}
        return self.records()

    async def _end(self) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def _start(self, plan: Plan) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "crew.client",
            msgspec.json.encode(plan).decode(),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._running[plan.who] = process
        assert process.stdout is not None
        line = await process.stdout.readline()
        if line != b"ready\n":
            raise AssertionError((await process.communicate())[1].decode())
        return process


def _go(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")

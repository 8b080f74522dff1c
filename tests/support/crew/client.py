"""
One process that works on a task, and writes down what it sees.

It goes on where a killed one of the same name stopped: what that one had asked without an answer is
asked again with the same operation id, or is left in doubt for ever.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from crew.processes import Plan
from crew.records import Doing, Log, Seen, read_records
from crew.stores import open_spec
from mendloop.core.errors import OutcomeUnknown, StoreUnavailable
from mendloop.core.model import FeedbackEntry
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.manager import StateManager

_AGAIN_SECONDS = 0.05


class Wish(NamedTuple):
    """Something to be asked: under which name, of which task, what."""

    name: str
    task_id: str
    doing: Doing


def wishes_of(plan: Plan, session: str) -> list[Wish]:
    """All that a session asks, in order: the tasks take turns."""
    asked = []
    for turn in range(plan.turns):
        for number, task_id in enumerate(plan.task_ids):
            doings: list[Doing] = ["increment", "append", "peek"]
            if (turn + number) % plan.turns_a_look == 0:
                doings.append("look")
            asked += [
                Wish(f"{session}-{task_id}-{doing}-{turn}", task_id, doing) for doing in doings
            ]
    return asked


class Client:
    """One life of a process."""

    def __init__(
        self, plan: Plan, manager: StateManager, log: Log, before: dict[str, Seen]
    ) -> None:
        self._plan = plan
        self._manager = manager
        self._log = log
        self._before = before
        self._parent = os.getppid()

    async def run_session(self, session: str) -> None:
        """Ask all that is left."""
        for wish in wishes_of(self._plan, session):
            if wish.doing in {"increment", "append"}:
                await self._write(wish, session)
            elif wish.name not in self._before:
                self._log.asked(*wish, session)
                await self._read(wish)

    async def _write(self, wish: Wish, session: str) -> None:
        while (earlier := self._before.get(wish.name)) and earlier.is_denied:
            wish = _renamed(wish)
        if earlier is None:
            self._log.asked(*wish, session)
        elif earlier.answer or self._plan.is_left_in_doubt(wish.name):
            return
        tries = 1
        while True:
            try:
                self._log.answered(wish.name, number=await self._ask(wish), tries=tries)
            except (StoreUnavailable, OutcomeUnknown) as error:
                is_denied = isinstance(error, StoreUnavailable)
                # What an earlier call may have written, a later one that writes nothing leaves open.
                if is_denied and tries == 1 and earlier is None:
                    self._log.denied(wish.name)
                    wish = _renamed(wish)
                    self._log.asked(*wish, session)
                else:
                    tries += 1
            else:
                return
            await self._pause()

    async def _ask(self, wish: Wish) -> int:
        """Bring one number or one finding; returns the number, 0 for a finding."""
        name, task_id, doing = wish
        if doing == "increment":
            return await self._manager.increment_iteration(task_id, op_id=name)
        entry = FeedbackEntry(
            timestamp=datetime(2026, 1, 1, tzinfo=UTC),
            author="ann",
            severity=Severity.LOW,
            issue_type=IssueType.BUG,
            description=f"finding {name}",
            resolved=False,
            pr_comment_id=name,
        )
        await self._manager.append_feedback(task_id, entry, op_id=name)
        return 0

    async def _read(self, wish: Wish) -> None:
        if wish.doing == "look":
            await self._look(wish)
        elif state := self._manager.cached_state(wish.task_id):
            self._log.saw(wish.name, state, state.feedback_history)

    async def _look(self, wish: Wish) -> None:
        while True:
            try:
                state = await self._manager.get_state(wish.task_id)
                if state is None:
                    return
                # What came after that state is left out: it is told of that one.
                found = await self._manager.get_feedback_history(wish.task_id)
            except StoreUnavailable:
                await self._pause()
            else:
                self._log.saw(wish.name, state, found[: state.findings_total])
                return

    async def _pause(self) -> None:
        """Before the next try; without whoever started this process there is none."""
        if os.getppid() != self._parent:
            raise SystemExit
        await asyncio.sleep(_AGAIN_SECONDS)


def _renamed(wish: Wish) -> Wish:
    """The same, asked as something new after a denial."""
    return wish._replace(name=f"{wish.name}+")


async def main(plan: Plan) -> None:
    """Work until all is asked; a line on standard input starts it."""
    logging.basicConfig(filename=f"{plan.log}.txt")
    before = read_records([Path(plan.log)])
    log = Log(Path(plan.log), plan.who)
    store = await open_spec(plan.spec)
    try:
        async with StateManager(
            store, by=plan.who, door="test", deadline_seconds=plan.deadline_seconds
        ) as manager:
            print("ready", flush=True)  # noqa: T201 - the parent waits for it
            if not sys.stdin.readline():
                return  # whoever started it has gone
            client = Client(plan, manager, log, before)
            async with asyncio.TaskGroup() as sessions:
                for number in range(plan.sessions):
                    sessions.create_task(client.run_session(f"{plan.who}-{number}"))
    finally:
        await store.close()
        log.close()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Plan)))

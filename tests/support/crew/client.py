"""
One process that works on a task, and writes down what it sees.

It goes on where a killed one of the same name stopped: what that one had asked without an answer is
asked again with the same operation id, or is left in doubt for ever.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from crew.processes import Plan
from crew.records import Doing, Log, Seen, read_records
from crew.stores import open_spec
from mendloop.core.errors import OutcomeUnknown, StoreUnavailable
from mendloop.core.model import FeedbackEntry
from mendloop.core.vocabulary import IssueType, Severity
from mendloop.manager import StateManager

_AGAIN_SECONDS = 0.05


def names_of(plan: Plan, session: str) -> list[tuple[str, Doing]]:
    """All that a session asks, in order."""
    asked: list[tuple[str, Doing]] = []
    for turn in range(plan.turns):
        asked += [(f"{session}-i{turn}", "increment"), (f"{session}-f{turn}", "append")]
        asked += [(f"{session}-p{turn}", "peek")]
        if turn % plan.turns_a_look == 0:
            asked += [(f"{session}-l{turn}", "look")]
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

    async def run_session(self, session: str) -> None:
        """Ask all that is left."""
        for name, doing in names_of(self._plan, session):
            if doing in {"increment", "append"}:
                await self._write(name, doing, session)
            elif name not in self._before:
                self._log.asked(name, doing, session)
                await getattr(self, f"_{doing}")(name)

    async def _write(self, name: str, doing: Doing, session: str) -> None:
        while (earlier := self._before.get(name)) and earlier.is_denied:
            name = _renamed(name)
        if earlier is None:
            self._log.asked(name, doing, session)
        elif earlier.answer or self._plan.is_left_in_doubt(name):
            return
        tries = 1
        while True:
            try:
                self._log.answered(name, number=await self._ask(name, doing), tries=tries)
            except StoreUnavailable:
                self._log.denied(name)
                name, tries = _renamed(name), 1
                self._log.asked(name, doing, session)
            except OutcomeUnknown as error:
                if error.op_id != name:
                    raise
                tries += 1
            else:
                return
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _ask(self, name: str, doing: Doing) -> int:
        """Bring one number or one finding; returns the number, 0 for a finding."""
        if doing == "increment":
            return await self._manager.increment_iteration(self._plan.task_id, op_id=name)
        entry = FeedbackEntry(
            timestamp=datetime(2026, 1, 1, tzinfo=UTC),
            author="ann",
            severity=Severity.LOW,
            issue_type=IssueType.BUG,
            description=f"finding {name}",
            resolved=False,
            pr_comment_id=name,
        )
        await self._manager.append_feedback(self._plan.task_id, entry, op_id=name)
        return 0

    async def _look(self, name: str) -> None:
        while True:
            try:
                state = await self._manager.get_state(self._plan.task_id)
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                assert state is not None
                self._log.answered(name, state=state)
                return

    async def _peek(self, name: str) -> None:
        state = self._manager.cached_state(self._plan.task_id)
        if state is not None:
            self._log.answered(name, state=state)


def _renamed(name: str) -> str:
    """The name of what is asked again after a denial."""
    return f"{name}+"


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
            sys.stdin.readline()
            client = Client(plan, manager, log, before)
            async with asyncio.TaskGroup() as sessions:
                for number in range(plan.sessions):
                    sessions.create_task(client.run_session(f"{plan.who}-{number}"))
    finally:
        await store.close()
        log.close()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Plan)))

"""Comments of a task whose findings are sealed, told through the manager."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from states import NOW, entry

from mendloop.core import commands
from mendloop.core.comments import BOT_TURNS
from mendloop.core.errors import TransitionRefused
from mendloop.core.vocabulary import CommentEvent
from mendloop.manager import StateManager
from mendloop.stores.sqlite import open_sqlite


async def test_a_sealed_comment_is_edited_and_deleted(tmp_path: Path) -> None:
    """It is found again among those that left the head; an operation id counts once."""
    store = await open_sqlite(tmp_path / "a.db")
    async with StateManager(store, by="ann") as manager:
        await manager.create_task("t")
        for number in range(60):
            comment = entry(f"c{number}", description=f"words {number} " * 40)
            await manager.record_comment("t", comment, CommentEvent.CREATED, at=NOW)
        await manager.compress_feedback_history("t")
        state = await manager.require_state("t")
        assert "c20" not in {found.pr_comment_id for found in state.feedback_history}
        later, last = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
        edit = entry("c20", description="new words")
        for _ in range(2):
            told = await manager.record_comment(
                "t", edit, CommentEvent.EDITED, at=later, op_id="delivery-1"
            )
            assert {"id": "c20", "is_changed": True} == told
        gone = entry("c21", description="old words")
        await manager.record_comment("t", gone, CommentEvent.DELETED, at=last, by="moderator")
        history = await manager.get_feedback_history("t")
        assert [f"c{number}" for number in range(60)] == [one.pr_comment_id for one in history]
        assert "new words" == history[20].description
        assert (True, 59) == (history[21].resolved, (await manager.require_state("t")).open_total)
    await store.close()


class _Talk:
    """Comments of a task, each a second after the one before."""

    def __init__(self, manager: StateManager) -> None:
        self._manager = manager
        self._spoken = 0

    async def say(self, author: str, *, is_bot: bool | None = None) -> None:
        self._spoken += 1
        await self._manager.record_comment(
            "t",
            entry(f"c{self._spoken}", author=author, description=f"comment {self._spoken}"),
            CommentEvent.CREATED,
            at=NOW + timedelta(seconds=self._spoken),
            is_bot=is_bot,
        )


async def test_bots_that_answer_each_other_are_stopped_until_a_person_speaks(
    manager: StateManager,
) -> None:
    """However many managers there are: twenty turns, and no more before a person's word or order."""
    await manager.create_task("t")
    talk = _Talk(manager)
    for _ in range(2 * BOT_TURNS):
        await talk.say("reviewer[bot]", is_bot=True)
    for turn in range(BOT_TURNS - 1):
        await talk.say("ci" if turn % 2 else "other[bot]", is_bot=True)
        await talk.say("a check")
    with pytest.raises(TransitionRefused, match="20 times"):
        await talk.say("reviewer[bot]", is_bot=True)
    await talk.say("ann", is_bot=False)
    for turn in range(BOT_TURNS):
        await talk.say(f"bot{turn % 2}", is_bot=True)
    with pytest.raises(TransitionRefused):
        await talk.say("reviewer[bot]", is_bot=True)
    await manager.submit("t", commands.Order(order=commands.Resume()), op_id="o")
    await talk.say("reviewer[bot]", is_bot=True)


async def test_people_leave_no_turns(manager: StateManager) -> None:
    """A task in which no bot speaks does not grow by who spoke."""
    await manager.create_task("t")
    talk = _Talk(manager)
    for number in range(3):
        await talk.say(f"person {number}", is_bot=False)

    assert () == (await manager.require_state("t")).ledger.turns

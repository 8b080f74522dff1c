"""Comments of a task whose findings are sealed, told through the manager."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from states import NOW, entry

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

"""What is reported about an older commit stays outdated, wherever it is kept and wherever it goes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from porter import Porter
from states import NOW, entry

from mendloop.core.cto import NAME_PREFIX, from_cto
from mendloop.core.lives import life_of
from mendloop.core.model import FeedbackEntry
from mendloop.core.text import redact_secrets
from mendloop.core.vocabulary import Life
from mendloop.findings import Which
from mendloop.intake.kubectl_dump import configmaps
from mendloop.manager import StateManager
from mendloop.stores.port import Store
from mendloop.stores.sqlite import open_sqlite

Manage = Callable[..., StateManager]
_OLD, _TIP = "a" * 40, "b" * 40
_COUNT = 40
_WAITING = Which(life=Life.OUTDATED)
_CTO = Path(__file__).parents[1] / "golden" / "cto" / "in-progress.yaml"


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Store]:
    """Another store."""
    store = await open_sqlite(tmp_path / "elsewhere.db")
    yield store
    await store.close()


def late(number: int) -> FeedbackEntry:
    """A finding that is too long for many of its kind to stay in the head."""
    return entry(f"late{number}", description=f"{number}: " * 200)


async def told_late(manager: StateManager, task_id: str) -> None:
    """Move the tip of a task on, and tell it of findings about the commit before."""
    await manager.record_tip(task_id, _OLD, at=NOW)
    await manager.record_tip(task_id, _TIP, at=NOW + timedelta(days=1))
    for first in range(0, _COUNT, 10):
        findings = map(late, range(first, first + 10))
        told = await manager.append_feedback(task_id, *findings, commit=_OLD)
        assert 10 == told["outdated"]


async def check_waiting(manager: StateManager, task_id: str, *, is_open: int) -> None:
    """All of them wait, and none of them counts as open; about the tip they count at once."""
    waiting = await manager.get_feedback_history(task_id, _WAITING)
    assert [late(n).description for n in range(_COUNT)] == [found.description for found in waiting]
    assert is_open == (await manager.require_state(task_id)).open_total
    again = await manager.append_feedback(task_id, late(3), entry("later"), commit=_OLD)
    assert (1, 1) == (again["known"], again["outdated"])
    await manager.append_feedback(task_id, late(5), commit=_TIP)
    history = {f.pr_comment_id: f for f in await manager.get_feedback_history(task_id)}
    lives = [life_of(history[f"late{n}"]) for n in (3, 5)]
    assert [Life.OUTDATED, Life.OPEN] == lives
    assert is_open + 1 == (await manager.require_state(task_id)).open_total


async def test_sealed_ones_wait_as_those_in_the_head_do(place: Store, manage: Manage) -> None:
    """A compaction moves them out of the head with their life; the counts stay exact."""
    manager = manage(place)
    await manager.create_task("t")
    await told_late(manager, "t")
    await manager.append_feedback("t", entry("open"))
    await manager.compress_feedback_history("t")
    state = await manager.require_state("t")
    assert 0 < len(state.feedback_history) < _COUNT
    assert "open" in {found.pr_comment_id for found in state.feedback_history}
    assert _COUNT + 1 == state.findings_total
    await check_waiting(manage(place), "t", is_open=1)


async def test_they_wait_in_the_store_that_they_are_imported_into(
    place: Store, elsewhere: Store, manage: Manage
) -> None:
    """An export takes them and the tips along: what was older is older there too."""
    manager, porter = manage(place), Porter()
    await manager.create_task("t")
    await told_late(manager, "t")
    await manager.compress_feedback_history("t")
    await porter.import_(elsewhere, await porter.export(place))
    there = manage(elsewhere)
    assert await manager.get_feedback_history("t") == await there.get_feedback_history("t")
    await check_waiting(there, "t", is_open=0)


async def test_they_wait_in_a_task_that_another_controller_made(
    place: Store, manage: Manage
) -> None:
    """What is told late of a task that was taken over from cto opens nothing of it, nor resolves anything."""
    manager = manage(place)
    [(name, data)] = configmaps(_CTO.read_bytes(), prefix=NAME_PREFIX)
    state = from_cto(name, data, now=datetime(2026, 1, 1, tzinfo=UTC), redact=redact_secrets)
    await manager.create_or_update_state(state)
    before = (await manager.require_state(state.task_id)).open_total
    assert len(json.loads(data["state.json"])["feedback_history"]) >= before > 0
    await told_late(manager, state.task_id)
    await check_waiting(manager, state.task_id, is_open=before)

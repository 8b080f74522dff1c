"""Heads that other hands made impossible: no write is decided on one, and a repair loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from faulty_store import FaultyStore
from states import entry

from mendloop.core.errors import DeserializationError
from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager

Manage = Callable[..., StateManager]
Edit = Callable[[dict[str, Any]], Any]

ITERATIONS = 30
FINDINGS = 200
NAMES = [f"c{number}" for number in range(FINDINGS)]


async def filled(manager: StateManager) -> None:
    """Make a task with sealed findings and commits, and both in the head."""
    for number in range(ITERATIONS):
        await manager.increment_iteration("t", max_iterations=1000)
        first, last = (n * FINDINGS // ITERATIONS for n in (number, number + 1))
        await manager.append_feedback("t", *(entry(name) for name in NAMES[first:last]))


async def edit(store: FaultyStore, change: Edit) -> bytes:
    """Edit a head as `kubectl edit` does: what stands beside it stays, and the store sees no harm."""
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    document = json.loads(head.body)
    change(document)
    body = json.dumps(document).encode()
    await store.replace(head, body)
    return body


def ours(**members: Any) -> Edit:
    """Give members of mendloop's own part other values."""
    return lambda document: document["mendloop"].update(members)


def findings(**members: Any) -> Edit:
    """Give members of what it says of sealed findings other values."""
    return lambda document: document["mendloop"]["findings"].update(members)


def without_commits(document: dict[str, Any]) -> None:
    """Count fewer commits than are sealed, and have none in the head."""
    document["mendloop"] |= {"commit": 3, "commits": []}


def lowered(document: dict[str, Any]) -> None:
    """Lower the counter and forget what the head tells of it: it stands beside the head alone."""
    document["iteration"] = 5
    document["metadata"].clear()
    document["mendloop"]["commits"] = document["mendloop"]["commits"][-1:]
    for change in document["mendloop"]["commits"][0]["changes"]:
        change["result"].pop("iteration", None)


REFUSED: dict[str, Edit] = {
    "fewer findings than are sealed": findings(count=1),
    "fewer findings than the head has": findings(count=FINDINGS - 1),
    "more findings than can be": findings(count=2**32),
    "fewer commits than the head has": ours(commit=5),
    "fewer commits than are sealed": without_commits,
    "more commits than can be": ours(commit=2**32),
    "a counter below the one beside it": lowered,
}
_WITHOUT_RECORDS = {"fewer commits than are sealed", "a counter below the one beside it"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.damages] if name in _WITHOUT_RECORDS else [])
        for name in REFUSED
    ],
)
async def test_no_write_is_decided_on_a_counter_that_cannot_be(
    name: str, store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """It is refused with the way out, readers say so, and after a repair all findings are there."""
    await filled(manager)
    edited = await edit(store, REFUSED[name])
    for writer in (manager, manage(store)):
        with pytest.raises(DeserializationError, match="`mendloop doctor t") as refused:
            await writer.append_feedback("t", entry("late"))
    seen = await manager.look_at("t")
    head = await store.get(HEAD, head_name("t"))
    await manage(store).recover_state("t")
    assert ITERATIONS + 1 == await manage(store).increment_iteration("t", max_iterations=1000)
    await manage(store).append_feedback("t", entry("late"))

    assert head is not None
    assert edited == head.body
    assert str(refused.value).startswith(seen.obstacle)
    assert "mendloop doctor t" in seen.obstacle
    history = await manage(store).get_feedback_history("t")
    assert [*NAMES, "late"] == [found.pr_comment_id for found in history]
    assert (await manage(store).validate_state("t")).is_sound

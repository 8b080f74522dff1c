"""The log lines of changes: one each, with all that the record says, and no secret in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from cleanups import end_task
from faulty_store import DOWN, LOST_ANSWER, SILENT, Fault, FaultyStore, in_turn
from states import entry

from mendloop.cleanup import CleanupTerms
from mendloop.core.names import HEAD, head_name
from mendloop.core.records import records_of
from mendloop.manager import StateManager

Manage = Callable[..., StateManager]

SECRET = "ghp_" + "k3V9" * 9
AT_ONCE = CleanupTerms(retention_seconds=0, grace_seconds=0)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged of changes."""
    caplog.set_level(logging.INFO, logger="mendloop.audit")
    return caplog


def told(lines: pytest.LogCaptureFixture, *names: str) -> list[tuple[Any, ...]]:
    """These fields of each line."""
    records = [record for record in lines.records if record.name == "mendloop.audit"]
    return [tuple(getattr(record, name) for name in names) for record in records]


async def test_each_change_has_one_line_with_what_its_record_says(
    manager: StateManager, lines: pytest.LogCaptureFixture
) -> None:
    """Fields and their values are those of the record; who reads them need not read the store."""
    await manager.create_task("t")
    await manager.acting_for("bob", door="cli").append_feedback("t", entry())
    await manager.increment_iteration("t", op_id="mine")
    await manager.append_feedback("t", entry())
    state = await manager.require_state("t")
    records = [r for commit in state.ledger.commits for r in records_of("t", commit)]

    assert 3 == len(records)
    names = ("from_commit", "to_commit", "do", "by", "door", "op_id", "digest", "link", "facts")
    assert [tuple(getattr(r, name) for name in names) for r in records] == told(lines, *names)
    assert "t: increment by ann (library), commit 2 -> 3" == lines.messages[-1]


async def test_no_line_has_a_secret(manager: StateManager, lines: pytest.LogCaptureFixture) -> None:
    """What a caller put into a reason, a name or an operation id is marked."""
    await manager.create_task("t", op_id=f"job {SECRET}")
    await manager.acting_for(SECRET, door="cli").pause("t", reason=f"token {SECRET}")

    mark = "[redacted: github token]"
    (create, _), (_, facts) = told(lines, "op_id", "facts")
    assert SECRET not in str([vars(record) for record in lines.records])
    assert create.startswith(f"job {mark}")
    assert f"token {mark}" == facts["reason"]
    assert f"t: pause by {mark} (cli), commit 1 -> 2" == lines.messages[-1]


@pytest.mark.parametrize("fault", [LOST_ANSWER, SILENT, DOWN], ids=["lost", "silent", "down"])
async def test_a_change_whose_answer_was_lost_has_one_line(
    store: FaultyStore, manager: StateManager, lines: pytest.LogCaptureFixture, fault: Fault
) -> None:
    """Whether a write landed is known in the end, and so is what is logged."""
    await manager.create_task("t")
    store.choose = in_turn([fault])
    await manager.increment_iteration("t")

    assert [("create", 1), ("increment", 2)] == told(lines, "do", "to_commit")


async def test_changes_by_other_hands_repairs_and_removals_have_lines(
    store: FaultyStore, manager: StateManager, manage: Manage, lines: pytest.LogCaptureFixture
) -> None:
    """Every door has them, also the one that is none."""
    await end_task(manager, "t")
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    await store.replace(head, head.body.replace(b'"metadata":{}', b'"metadata":{"x":"y"}'))
    await manage(store).hold("t", reason="r")
    await manager.end_hold("t")
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    await store.replace(head, head.body, fields={"iteration": "9"})
    await manager.recover_state("t")
    await manager.delete("t", reason="x")
    await manager.cleanup_old_states(AT_ONCE)

    assert [
        ("create", "library"),
        ("stop", "library"),
        ("change_outside", "outside"),
        ("hold", "library"),
        ("end_hold", "library"),
        ("recover", "repair"),
        ("delete", "library"),
        ("remove", "cleanup"),
    ] == told(lines, "do", "door")

"""Findings put into a task in any order, compacted at any time, and compared with a plain dict."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from states import entry

from mendloop.core.model import FeedbackEntry, Settings
from mendloop.core.vocabulary import Severity
from mendloop.manager import StateManager
from mendloop.stores.port import Store

__all__ = ["OPERATIONS", "TASK", "run_operations"]

TASK = "t"

_NAMES = st.integers(0, 60).map("c{}".format)
_SEVERITIES = st.sampled_from(Severity)
_APPEND = st.tuples(
    st.just("append"),
    st.lists(st.tuples(_NAMES, _SEVERITIES, st.integers(0, 40)), min_size=1, max_size=12),
)
_RESOLVE = st.tuples(st.just("resolve"), _NAMES)
_COMPRESS = st.tuples(st.just("compress"), st.none())
_INCREMENT = st.tuples(st.just("increment"), st.none())
OPERATIONS = st.lists(st.one_of(_APPEND, _APPEND, _RESOLVE, _COMPRESS, _INCREMENT), max_size=40)


def told(given_entry: FeedbackEntry) -> tuple[str, Severity, str, bool]:
    """What a reader sees of a finding."""
    return (
        given_entry.pr_comment_id,
        given_entry.severity,
        given_entry.description,
        given_entry.resolved,
    )


async def check(manager: StateManager, expected: dict[str, tuple[Severity, str, bool]]) -> None:
    """Compare all that is read back with what was put in, and look into the head."""
    state = await manager.require_state(TASK)
    read = [told(found) for found in await manager.get_feedback_history(TASK)]
    assert [(name, *rest) for name, rest in expected.items()] == read
    counts = [
        sum(s is severity and not resolved for s, _, resolved in expected.values())
        for severity in Severity
    ]
    assert tuple(counts) == state.open_counts
    assert len(expected) == state.findings_total
    worst = max((s.rank for s, _, resolved in expected.values() if not resolved), default=None)
    kept = [e.severity.rank for e in state.feedback_history if not e.resolved]
    assert worst == max(kept, default=None)
    still_open = [name for name, (_, _, resolved) in expected.items() if not resolved]
    assert still_open == [e.pr_comment_id for e in await manager.open_findings(state)]


async def run_operations(one: Store, other: Store, operations: list[tuple[str, Any]]) -> None:
    """Apply *operations* to a new task with two managers in turn, and compare after each."""
    expected: dict[str, tuple[Severity, str, bool]] = {}
    managers = [StateManager(one), StateManager(other)]
    await managers[0].create_task(TASK, settings=Settings(max_iterations=10_000))
    for number, (name, asked) in enumerate(operations):
        manager = managers[number % 2]
        if name == "append":
            entries = [
                entry(known, severity=severity, description=f"{known} {'x' * (length * 40)}")
                for known, severity, length in asked
            ]
            await manager.append_feedback(TASK, *entries)
            for e in entries:
                known = expected.get(e.pr_comment_id, ())
                if known[:2] != (e.severity, e.description):  # the very same again is no return
                    expected[e.pr_comment_id] = (e.severity, e.description, False)
        elif name == "resolve":
            state = await manager.require_state(TASK)
            in_head = {e.pr_comment_id: e for e in state.feedback_history}
            if asked in in_head:
                await resolve(manager, asked)
                expected[asked] = (*expected[asked][:2], True)
        elif name == "compress":
            await manager.compress_feedback_history(TASK)
        else:
            await manager.increment_iteration(TASK)
        await check(manager, expected)
    await check(StateManager(one), expected)
    for manager in managers:
        await manager.close()


async def resolve(manager: StateManager, name: str) -> None:
    """Resolve a finding in the head the way that another program does: by a whole state."""
    state = await manager.require_state(TASK)
    entries = tuple(
        msgspec.structs.replace(e, resolved=e.resolved or e.pr_comment_id == name)
        for e in state.feedback_history
    )
    await manager.create_or_update_state(msgspec.structs.replace(state, feedback_history=entries))

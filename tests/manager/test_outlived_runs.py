"""A run from before another program rewrote the state writes no more, whatever was left of its task."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from faulty_store import FaultyStore
from states import entry, holder

from mendloop.core.errors import LeaseLost
from mendloop.core.names import HEAD, head_name
from mendloop.core.text import redact_secrets
from mendloop.lease import RunLease
from mendloop.manager import StateManager
from mendloop.quarantine import Quarantine

Manage = Callable[..., StateManager]


async def rewrite(store: FaultyStore, **fields: str) -> None:
    """Write the head as the specification's own writer does, which drops all that is ours."""
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    document = json.loads(head.body)
    document.pop("mendloop", None)
    for found in document["feedback_history"]:
        found.pop("mendloop", None)
    await store.replace(head, json.dumps(document).encode(), fields=fields or None)


async def begun(manager: StateManager) -> RunLease:
    """Make a task of which nothing is sealed, and a run that holds it."""
    await manager.increment_iteration("t")
    await manager.append_feedback("t", entry("c0"))
    return await RunLease.acquire(manager, "t", holder("before"))


async def check_has_lost(store: FaultyStore, lease: RunLease, manage: Manage) -> None:
    """Have another run take the task; the one from before may not start an iteration."""
    at = await manage(store).get_current_iteration("t")
    other = await RunLease.acquire(manage(store), "t", holder("after"))
    with pytest.raises(LeaseLost):
        await lease.start_iteration()
    assert other.generation > lease.generation
    assert at == await manage(store).get_current_iteration("t")
    assert at + 1 == await other.start_iteration()


@pytest.mark.other_hands
async def test_a_run_does_not_outlive_a_rewrite(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Nothing tells of its generation any more, and the next one is above it all the same."""
    lease = await begun(manager)
    await rewrite(store)
    await check_has_lost(store, lease, manage)


@pytest.mark.other_hands
async def test_a_run_does_not_outlive_a_second_rewrite(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """The one that began after the first is below that after the second, within a second."""
    await begun(manager)
    await rewrite(store)
    lease = await RunLease.acquire(manage(store), "t", holder("between"))
    await rewrite(store)
    await check_has_lost(store, lease, manage)


async def test_a_run_does_not_outlive_a_repair_of_what_was_rewritten(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """Nothing is sealed, and what stands beside the state is put right: the lease is raised too."""
    lease = await begun(manager)
    await rewrite(store, last_update="yesterday")
    assert (await manage(store).recover_state("t")).is_changed
    await check_has_lost(store, lease, manage)


async def test_a_run_does_not_outlive_a_restore_over_what_was_rewritten(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """The copy knows of fewer runs than there were, and the state of none."""
    lease = await begun(manager)
    await manager.stop("t", reason="enough")
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    quarantine = Quarantine(store, clock=manager.clock, redact=redact_secrets)
    name = await quarantine.set_aside("t", head, reason="by a test")
    for why in ("the first", "the second"):
        await manager.resume("t")
        lease = await RunLease.acquire(manager, "t", holder(why))
        await manager.stop("t", reason=why)
    await rewrite(store)
    await manage(store).restore_from("t", name)
    await manage(store).resume("t", max_iterations=9)
    await check_has_lost(store, lease, manage)

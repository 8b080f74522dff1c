"""Heads that other hands changed: taken over and recorded, or copied aside, never written over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from faulty_store import FaultyStore
from hypothesis import given
from states import any_state, entry, holder

from mendloop.core import commands
from mendloop.core.codec import decode_state, digest, encode_state
from mendloop.core.errors import DeserializationError
from mendloop.core.model import Ledger, RemediationState
from mendloop.core.names import HEAD, QUARANTINE, head_name
from mendloop.lease import RunLease
from mendloop.manager import StateManager

Manage = Callable[..., StateManager]


async def edit(store: FaultyStore, change: Callable[[bytes], bytes]) -> bytes:
    """Change a head past the manager; returns what is stored then."""
    document = await store.get(HEAD, head_name("t"))
    assert document is not None
    body = change(document.body)
    await store.replace(document, body, fields=document.fields, labels=document.labels)
    return body


def with_members(**members: Any) -> Callable[[bytes], bytes]:
    """An editor's change of some members."""
    return lambda body: json.dumps(json.loads(body) | members).encode()


async def doings(manager: StateManager) -> list[str]:
    """What the history says was done, in order."""
    state = await manager.get_state("t")
    assert state is not None
    return [change.do async for commit in manager.commits(state) for change in commit.changes]


@pytest.mark.other_hands
async def test_what_other_hands_changed_is_taken_over_and_recorded_once(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A number raised by hand counts on from there, and the history says that it was."""
    await manager.increment_iteration("t")
    await edit(store, with_members(iteration=4, metadata={"owner": "ann"}))
    other = manage(store)
    assert 5 == await other.increment_iteration("t")
    assert 6 == await other.increment_iteration("t")
    assert ["increment", "change_outside", "increment", "increment"] == await doings(manager)
    state = await other.get_state("t")
    assert state is not None
    assert "ann" == state.metadata["owner"]


@pytest.mark.other_hands
async def test_the_manager_that_wrote_last_sees_it_too(
    store: FaultyStore, manager: StateManager
) -> None:
    """What a manager remembers of its own write hides no change by other hands."""
    await manager.increment_iteration("t")
    await edit(store, with_members(iteration=4))
    assert 5 == await manager.increment_iteration("t")
    assert ["increment", "change_outside", "increment"] == await doings(manager)


async def test_a_counter_below_what_was_given_out_is_refused_and_kept(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """No number is given out twice: the bytes stay, a copy is kept, and the message says what to do."""
    for _ in range(3):
        await manager.increment_iteration("t")
    edited = await edit(store, with_members(iteration=1))
    for _ in range(2):
        with pytest.raises(DeserializationError, match="set it to 3"):
            await manage(store).increment_iteration("t")
    [kept] = (await store.list(QUARANTINE)).documents
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    assert edited == kept.body == head.body
    await edit(store, with_members(iteration=3))
    assert 4 == await manage(store).increment_iteration("t")


@pytest.mark.damages
async def test_readers_say_that_a_lowered_counter_refuses_writes(
    store: FaultyStore, manager: StateManager
) -> None:
    """Who only looks is told in the words of the refusal, until the counter is put right."""
    for _ in range(3):
        await manager.increment_iteration("t")
    before = await manager.look_at("t")
    await edit(store, with_members(iteration=1))
    [listed] = (await manager.list_tasks()).tasks
    lowered = await manager.look_at("t")
    with pytest.raises(DeserializationError) as refused:
        await manager.increment_iteration("t")
    await edit(store, with_members(iteration=7))
    raised = await manager.look_at("t")

    assert lowered == listed
    assert lowered.state is not None
    assert 1 == lowered.state.iteration
    assert str(refused.value).startswith(lowered.obstacle)
    assert "set it to 3" in lowered.obstacle
    assert ("", "") == (before.obstacle, raised.obstacle)


@pytest.mark.parametrize("body", [b"", b"{", b"no JSON", b'{"task_id": "t"}', b"null"])
@pytest.mark.damages
async def test_damage_by_other_hands_is_copied_aside_and_left(
    store: FaultyStore, manager: StateManager, manage: Manage, body: bytes
) -> None:
    """A head that cannot be read is never written over; a byte-for-byte copy is kept."""
    await manager.increment_iteration("t")
    await edit(store, lambda _: body)
    with pytest.raises(DeserializationError, match=r"copy kept as quarantine\.task-t-quarantine-"):
        await manage(store).append_feedback("t", entry())
    [kept] = (await store.list(QUARANTINE)).documents
    head = await store.get(HEAD, head_name("t"))
    assert head is not None
    assert body == kept.body == head.body


async def test_heartbeats_are_no_change_by_other_hands(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """What leaves no record is still ours, whoever goes on from it."""
    await manager.create_task("t")
    lease = await RunLease.acquire(manager, "t", holder("t1"))
    await lease.start_iteration()
    other = manage(store)
    for number in range(3):
        renew = commands.RenewLease(generation=lease.generation, boottime_seconds=number)
        await other.submit("t", renew)
        await lease.record_child(None)
        await manage(store).append_feedback("t", entry(f"c{number}"))
    assert "change_outside" not in await doings(manager)


@given(any_state())
def test_a_digest_survives_the_store(state: RemediationState) -> None:
    """What was written and read back has the digest that was recorded of it."""
    if isinstance(state.mendloop, Ledger):
        assert digest(state) == digest(decode_state(encode_state(state)))


@pytest.mark.damages
async def test_a_state_of_another_task_is_neither_shown_nor_written(
    store: FaultyStore, manager: StateManager, manage: Manage
) -> None:
    """A copy of a head under another name is damage: both ids are named, and nothing is written."""
    await manager.increment_iteration("t")
    await edit(store, with_members(task_id="u"))
    for call in (
        manage(store).get_state("t"),
        manage(store).increment_iteration("t"),
        manager.increment_iteration("t"),
    ):
        with pytest.raises(DeserializationError, match=r"task t says that it is that of 'u'"):
            await call
    [listed] = (await manager.list_tasks()).tasks
    assert ("t", None) == (listed.task_id, listed.state)

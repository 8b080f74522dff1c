"""Copies of damaged ConfigMaps hold all that was in them, and take their place again."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from configmaps import Others
from crew import open_spec
from opened import opened
from states import entry

from mendloop.core.errors import DeserializationError, StateError
from mendloop.core.names import HEAD, head_name
from mendloop.manager import StateManager
from mendloop.stores.configmap_objects import DATA_LIMIT_BYTES
from mendloop.stores.port import Store

NAME = head_name("t")
FINDINGS = 200


@pytest.fixture
async def store(direct: str) -> AsyncIterator[Store]:
    """A store with the rights of the Role, and no more."""
    async with opened(open_spec) as open_store:
        yield await open_store(direct)


@pytest.fixture
async def manager(store: Store) -> AsyncIterator[StateManager]:
    """A manager of a task with findings in its head and beside it."""
    async with StateManager(store, by="ann") as manager:
        for first in range(0, FINDINGS, 20):
            await manager.increment_iteration("t", max_iterations=1000)
            await manager.append_feedback("t", *(entry(f"c{n}") for n in range(first, first + 20)))
        yield manager


async def names(manager: StateManager) -> list[str]:
    return [found.pr_comment_id for found in await manager.get_feedback_history("t")]


def put(others: Others, data: dict[str, Any] | None, blobs: dict[str, bytes] | None) -> None:
    """Replace all that is in the ConfigMap of the state."""
    head = others.read(NAME)
    head.pop("data", None)
    head["data"] = data
    head["binaryData"] = {n: base64.b64encode(b).decode() for n, b in (blobs or {}).items()} or None
    others.kubectl("replace", "-f", "-", stdin=json.dumps({k: v for k, v in head.items() if v}))


@pytest.mark.parametrize(
    ("data", "blobs", "body"),
    [
        ({"iteration": "7", "owner": "ann", "note": 'two\nlines, "quoted"'}, None, b""),
        ({"iteration": "7", "state.json": ""}, {"photo": b"\x00\xff"}, b""),
        (None, {"photo": b"\x00\xff", "other": b""}, b""),
        (None, {"state.json": b'{"task_id": "t\xff'}, b'{"task_id": "t\xff'),
        ({"state.json": "{", "owner": "x" * 600_000}, None, b"{"),
    ],
    ids=["no state", "empty state", "only binary data", "state in binary data", "no room"],
)
@pytest.mark.damages
async def test_a_copy_holds_all_keys_byte_for_byte(
    data: dict[str, Any] | None,
    blobs: dict[str, bytes] | None,
    body: bytes,
    manager: StateManager,
    others: Others,
) -> None:
    """Texts and binary values are in it, but for what no write touches where there is no room for it."""
    put(others, data, blobs)
    with pytest.raises(DeserializationError, match="copy kept as"):
        await manager.append_feedback("t", entry("more"))

    [copy] = await manager.list_copies("t")
    kept = others.read(copy.name)
    beside = json.loads(kept["data"].get("beside", "{}"))
    texts = {n: v for n, v in (data or {}).items() if n != "state.json"}
    binary = {n: b for n, b in (blobs or {}).items() if n != "state.json"}
    assert body == base64.b64decode(kept["binaryData"]["body"])
    assert texts == beside.get("data", {})
    assert binary == {n: base64.b64decode(v) for n, v in beside.get("binaryData", {}).items()}
    assert NAME == copy.of


async def test_a_copy_that_has_no_room_leaves_to_others_what_is_theirs(
    manager: StateManager, others: Others
) -> None:
    """A head that fills its ConfigMap is copied and repaired; what others keep in it stays there."""
    blob = b"\xff" * (DATA_LIMIT_BYTES - 200_000)
    put(others, {"state.json": "{", "iteration": "12"}, {"blob": blob})

    recovery = await manager.recover_state("t")

    kept = others.read(recovery.quarantined[0])
    assert b"{" == base64.b64decode(kept["binaryData"]["body"])
    assert {"data": {"iteration": "12"}} == json.loads(kept["data"]["beside"])
    assert blob == base64.b64decode(others.read(NAME)["binaryData"]["blob"])
    assert 12 == recovery.iteration


async def test_a_state_that_was_edited_to_pieces_comes_back_from_a_copy(
    manager: StateManager, store: Store, others: Others
) -> None:
    """What a restore replaced can be restored in turn; labels and data of others stay."""
    others.merge(NAME, data={"owner": "ann"}, metadata={"labels": {"team": "blue"}})
    before = await names(manager)
    state = json.loads(others.read(NAME)["data"]["state.json"])
    state["feedback_history"] = []
    others.merge(NAME, data={"state.json": json.dumps(state)[:-2]})
    await manager.recover_state("t")
    [damaged] = await manager.list_copies("t")
    await manager.stop("t", reason="over")

    first = await manager.restore_from("t", damaged.name)
    [replaced] = first.quarantined
    assert "InProgress" == (await manager.require_state("t")).status
    await manager.restore_from("t", replaced)

    found = others.read(NAME)
    head = await store.get(HEAD, NAME)
    assert head is not None
    assert "Failed" == (await manager.require_state("t")).status
    assert ("ann", "blue") == (found["data"]["owner"], found["metadata"]["labels"]["team"])
    assert set(await names(manager)) <= set(before)
    assert () == (await manager.validate_state("t")).symptoms


async def test_a_deleted_head_comes_back_from_a_copy(manager: StateManager, others: Others) -> None:
    """`kubectl delete` of the head, and of what the server still knew of it: the copy brings it back."""
    others.merge(NAME, data={"last_update": "yesterday"})
    recovery = await manager.recover_state("t")
    [name] = recovery.quarantined
    before = await names(manager)
    others.kubectl("delete", "configmap", NAME)

    restored = await manager.restore_from("t", name)

    assert restored.is_changed
    assert before == await names(manager)
    assert FINDINGS // 20 == restored.iteration
    with pytest.raises(StateError, match="not deleted"):
        await manager.restore("t")

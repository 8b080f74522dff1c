"""A task's history in ConfigMaps: any length, any order, and moved to another namespace."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from compactions import OPERATIONS, TASK, run_operations
from configmaps import Others
from crew import open_spec
from fault_proxy import FaultProxy
from hypothesis import HealthCheck, Phase, given, settings
from opened import opened
from states import entry

from controlplane import Cluster
from mendloop.core.model import FeedbackEntry, Settings
from mendloop.core.names import head_name
from mendloop.core.vocabulary import Severity
from mendloop.findings import Which
from mendloop.manager import StateManager
from mendloop.stores.port import Store

_WORDS = [
    "the",
    "return",
    "value",
    "of",
    "this",
    "call",
    "is",
    "never",
    "checked",
    "and",
    "may",
    "be",
    "lost",
    "on",
    "a",
    "full",
    "disk",
]


@pytest.fixture
async def open_store() -> AsyncIterator[Callable[..., Any]]:
    """Open stores that are closed at the end."""
    async with opened(open_spec) as open_one:
        yield open_one


def long_finding(number: int, **changes: Any) -> FeedbackEntry:
    """A finding of common length, with text of its own."""
    dice = random.Random(number)
    text = " ".join(dice.choice(_WORDS) for _ in range(60))
    return entry(f"comment-{number}", description=f"{number}: {text}", **changes)


@pytest.mark.parametrize("severity", [Severity.LOW, Severity.CRITICAL])
async def test_twenty_thousand_findings_are_read_back(
    open_store: Callable[..., Any],
    proxied: str,
    proxy: FaultProxy,
    severity: Severity,
    scaled: Callable[[int, int], int],
) -> None:
    """None is refused for its size, all are there in order byte for byte, all of them open."""
    count = scaled(20_000, 2_000)
    store = await open_store(proxied)
    manager = StateManager(store)
    await manager.create_task(TASK, settings=Settings(max_iterations=100_000))
    given = [long_finding(number, severity=severity) for number in range(count)]
    for first in range(0, count, 100):
        await manager.append_feedback(TASK, *given[first : first + 100])
    assert not {exchange.status for exchange in proxy.exchanges} & {413, 422}
    state = await manager.require_state(TASK)
    assert count == state.open_total == state.open_counts[severity.rank]
    reader = StateManager(await open_store(proxied))
    read: list[FeedbackEntry] = []
    cursor = None
    while True:
        page = await reader.find(TASK, Which(is_open=True), limit=1000, cursor=cursor)
        read += page.entries
        cursor = page.cursor
        if cursor is None:
            break
    assert [e.pr_comment_id for e in given] == [e.pr_comment_id for e in read]
    assert [e.description for e in given] == [e.description for e in read]
    assert scaled(5_000_000, 400_000) < sum(len(e.description) for e in read)


async def test_any_sequence_is_read_back_in_order(
    open_store: Callable[..., Any], direct: str, scaled: Callable[[int, int], int]
) -> None:
    """Appends, edits, resolutions and compactions; two clients take turns."""
    one, other = await open_store(direct), await open_store(direct)
    drawn: list[list[tuple[str, Any]]] = []

    @settings(
        max_examples=scaled(200, 20),
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(OPERATIONS)
    def draw(operations: list[tuple[str, Any]]) -> None:
        drawn.append(operations)

    draw()
    assert scaled(200, 20) == len(drawn)
    for operations in drawn:
        await run_operations(one, other, operations)
        await remove_all(one)


async def remove_all(store: Store) -> None:
    """Begin the next example on an empty namespace."""
    for kind in ("head", "chunk"):
        for document in (await store.list(kind)).documents:
            await store.delete(document)


async def test_a_dump_applied_in_another_namespace_has_the_whole_history(
    open_store: Callable[..., Any],
    direct: str,
    controllers: Cluster,
    namespace: str,
    tmp_path: Any,
) -> None:
    """All objects are dumped, deleted and applied elsewhere: what an owner is missed of is collected, ours stay."""
    manager = StateManager(await open_store(direct))
    await manager.create_task(TASK, settings=Settings(max_iterations=1000))
    for first in range(0, 900, 30):
        await manager.append_feedback(TASK, *map(long_finding, range(first, first + 30)))
        await manager.increment_iteration(TASK)
    before = await manager.get_feedback_history(TASK)
    state = await manager.require_state(TASK)
    commits = [commit async for commit in manager.commits(state)]
    elsewhere = Others(controllers, controllers.namespace())
    uids = moved(Others(controllers, namespace), elsewhere)
    await asyncio.to_thread(collected, elsewhere, uids[head_name(TASK)])

    config = controllers.kubeconfig(tmp_path / "elsewhere", namespace=elsewhere.namespace)
    reader = StateManager(await open_store(f"configmap:{config}"))
    assert uids.keys() == own_names(elsewhere).keys()
    assert {} == own_names(Others(controllers, namespace))
    assert before == await reader.get_feedback_history(TASK)
    after = await reader.require_state(TASK)
    assert commits == [commit async for commit in reader.commits(after)]
    assert state.iteration + 1 == await reader.increment_iteration(TASK)


def own_names(others: Others) -> dict[str, Any]:
    """All ConfigMaps of the namespace that are not the cluster's own, by name."""
    listed = json.loads(others.kubectl("get", "configmaps", "-o", "json"))["items"]
    by_name = {item["metadata"]["name"]: item for item in listed}
    by_name.pop("kube-root-ca.crt", None)
    return by_name


def moved(here: Others, there: Others) -> dict[str, str]:
    """Delete all that is in one namespace and apply it in another; the uids that it had, by name."""
    items = own_names(here)
    uids = {name: item["metadata"]["uid"] for name, item in items.items()}
    here.kubectl("delete", "configmap", *items)
    for item in items.values():
        for member in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace"):
            item["metadata"].pop(member, None)
    dump = {"apiVersion": "v1", "kind": "List", "items": list(items.values())}
    there.kubectl("apply", "-f", "-", stdin=json.dumps(dump))
    return uids


def collected(others: Others, uid: str) -> None:
    """Wait until the garbage collector has taken an object whose owner's *uid* is not there."""
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": head_name(TASK), "uid": uid}
    others.create("owned", metadata={"ownerReferences": [owner]})
    others.kubectl("wait", "--for=delete", "configmap/owned", "--timeout=60s")

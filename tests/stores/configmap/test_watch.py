"""What a store has seen without asking: one stream, nothing missed, nothing that is not permitted."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import fault_proxy as faults
import pytest
from configmaps import HEAD, OpenStore, Others
from fault_proxy import FaultProxy, StreamFault
from patience import eventually

from controlplane import Cluster
from mendloop.core.errors import NotPermitted
from mendloop.stores.configmap import ConfigMapStore
from mendloop.stores.port import Seen


async def test_peek_without_a_watch_asks_nobody(store: ConfigMapStore, proxy: FaultProxy) -> None:
    """A store that is opened for one call does not list the namespace."""
    await store.create(*HEAD, b"1")
    assert store.peek(*HEAD) is None
    await asyncio.sleep(0.2)
    assert 1 == len(proxy.exchanges)


async def test_first_peek_of_a_watching_store_begins_one_watch(
    open_store: OpenStore, proxy: FaultProxy
) -> None:
    """From the first peek on one stream brings what others write, and own writes are seen at once."""
    other, store = await open_store(), await open_store(is_watching=True)
    theirs = await other.create("head", "a", b"1")
    assert store.peek("head", "a") is None
    await eventually(lambda: store.peek("head", "a") == theirs)
    theirs = await other.replace(theirs, b"2")
    await eventually(lambda: store.peek("head", "a") == theirs)
    ours = await store.replace(theirs, b"3")
    assert ours == store.peek("head", "a")
    await store.delete(ours)
    assert store.peek("head", "a") is None
    async with aclosing(store.watch("head")) as watch, asyncio.timeout(20):
        made = await other.create("head", "b", b"1")
        assert Seen(key="b", document=made) == await anext(watch)
    assert (1, 1) == (proxy.count("list"), proxy.count("watch"))


async def test_deletion_missed_in_an_outage_is_noticed(
    open_store: OpenStore, store: ConfigMapStore, proxy: FaultProxy, others: Others
) -> None:
    """What was removed while nothing could be seen is told as gone once a list is taken."""
    watching = await open_store()
    kept, lost = await store.create("head", "a", b"1"), await store.create("head", "b", b"1")
    async with aclosing(watching.watch("head")) as watch, asyncio.timeout(20):
        assert {"a": kept, "b": lost} == {
            seen.key: seen.document for seen in (await anext(watch), await anext(watch))
        }
        proxy.choose = faults.in_turn([faults.gone()], verbs=["watch"])
        proxy.spoil_watches(StreamFault.CUT)
        others.kubectl("delete", "configmap", "b")
        assert Seen(key="b", document=None) == await anext(watch)


async def test_watch_beyond_its_memory_still_tells_everything(
    open_store: OpenStore, store: ConfigMapStore
) -> None:
    """Documents whose bytes were let go are read again for whoever watches."""
    made = {key: await store.create("head", key, b"x" * 2_000) for key in "abcdef"}
    watching = await open_store(cache_bytes=7_000)
    async with aclosing(watching.watch("head")) as first, asyncio.timeout(20):
        assert made == {seen.key: seen.document for seen in [await anext(first) for _ in made]}
        async with aclosing(watching.watch("head")) as second:
            assert made == {seen.key: seen.document for seen in [await anext(second) for _ in made]}


async def test_watch_that_is_not_permitted_says_so_and_can_be_tried_again(
    open_store: OpenStore, control_plane: Cluster, namespace: str
) -> None:
    """Without the right to list, a watch is refused, a peek knows nothing, and reads go on."""
    token = control_plane.service_account_token(namespace, "reader")
    _allow(control_plane, namespace, "reader", ["get"])
    store = await open_store(token=token, is_watching=True)
    for _ in range(2):
        with pytest.raises(NotPermitted):
            await anext(store.watch("head"))
    assert store.peek("head", "a") is None
    assert await store.get("head", "a") is None
    _allow(control_plane, namespace, "reader", ["get", "list", "watch", "create"])
    made = await store.create("head", "a", b"1")
    async with aclosing(store.watch("head")) as watch, asyncio.timeout(20):
        assert Seen(key="a", document=made) == await anext(watch)


def _allow(cluster: Cluster, namespace: str, account: str, verbs: list[str]) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    api = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    role = api | {"kind": "Role", "metadata": {"name": account}, "rules": rules}
    cluster.request("PATCH", f"{base}/roles/{account}?fieldManager=t&force=true", role)
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    binding = api | {"kind": "RoleBinding", "metadata": {"name": account}}
    binding |= {"subjects": [subject], "roleRef": reference}
    cluster.request("PATCH", f"{base}/rolebindings/{account}?fieldManager=t&force=true", binding)

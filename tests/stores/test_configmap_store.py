"""What the ConfigMap store promises beyond the contract: its layout, others' data, sizes, requests."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import fault_proxy as faults
import pytest
from fault_proxy import Answer, Fault, FaultProxy, StreamFault

from controlplane import APIError, Cluster
from mendloop.core.errors import (
    NotPermitted,
    RevisionConflict,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    TooLarge,
)
from mendloop.kube.access import load_access
from mendloop.stores.configmap import ConfigMapStore, open_configmaps
from mendloop.stores.port import Seen

LIMIT = 1_048_576
HEAD = ("head", "task-7-state")
CHUNK = ("chunk", "task-7-history-abc-0000000001-def")
OpenStore = Callable[..., Awaitable[ConfigMapStore]]


@pytest.fixture
async def proxy(control_plane: Cluster) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the shared API server, without faults at first."""
    async with FaultProxy(control_plane) as proxy:
        yield proxy


@pytest.fixture
async def open_store(proxy: FaultProxy, namespace: str, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Open a store through the proxy, in the test's namespace; closed when the test ends."""
    opened: list[ConfigMapStore] = []

    async def open_one(*, token: str | None = None, **options: Any) -> ConfigMapStore:
        path = tmp_path / f"config-{len(opened)}"
        proxy.cluster.kubeconfig(path, token=token, namespace=namespace)
        opened.append(open_configmaps(await load_access(kubeconfig=str(path)), **options))
        return opened[-1]

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> ConfigMapStore:
    """A store that watches nothing."""
    return await open_store()


class Others:
    """Whoever else works on the objects of the namespace, past the proxy."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.base = f"/api/v1/namespaces/{namespace}/configmaps"
        self.namespace = namespace
        self.cluster = cluster

    def read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.request("GET", f"{self.base}/{name}")
        return found

    def create(self, name: str, **body: Any) -> None:
        metadata = {"name": name, **body.pop("metadata", {})}
        self.cluster.request("POST", self.base, {"metadata": metadata, **body})

    def apply(self, name: str, manager: str, **body: Any) -> None:
        """As another controller does, without force."""
        metadata = {"name": name, **body.pop("metadata", {})}
        whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **body}
        self.cluster.request("PATCH", f"{self.base}/{name}?fieldManager={manager}", whole)

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments)


@pytest.fixture
def others(control_plane: Cluster, namespace: str) -> Others:
    """Somebody else."""
    return Others(control_plane, namespace)


def owned_by(configmap: dict[str, Any], manager: str) -> dict[str, Any]:
    """The fields that *manager* owns by apply."""
    entries = configmap["metadata"]["managedFields"]
    [mine] = [e for e in entries if (e["manager"], e["operation"]) == (manager, "Apply")]
    fields: dict[str, Any] = mine["fieldsV1"]
    return fields


async def test_head_has_the_layout_of_the_specification(
    store: ConfigMapStore, others: Others
) -> None:
    """Name, labels, annotation, data and field manager are those that its readers look for."""
    fields = {"task_id": "7", "iteration": "1", "last_update": "2026-01-01T00:00:00Z"}
    made = await store.create(*HEAD, b'{"a": 1}', fields=fields, labels={"task-id": "7"})
    await store.replace(made, b'{"a": 2}', fields=fields, labels={"task-id": "7"})
    found = others.read("task-7-state")
    labels = {
        "app": "remediation-state",
        "task-id": "7",
        "managed-by": "agent-remediation-controller",
    }
    annotations = found["metadata"]["annotations"]
    assert fields | {"state.json": '{"a": 2}'} == found["data"]
    assert labels == found["metadata"]["labels"]
    assert "v1" == annotations.pop("remediation.5dlabs.com/version")
    assert ["mendloop.dev/write"] == list(annotations)
    assert {"state-manager"} == {e["manager"] for e in found["metadata"]["managedFields"]}
    assert "binaryData" not in found
    assert "immutable" not in found
    listed = others.kubectl("get", "configmaps", "-l", "app=remediation-state", "-o", "name")
    assert "configmap/task-7-state\n" == listed


async def test_chunk_is_immutable_bytes_under_its_own_label(
    store: ConfigMapStore, others: Others
) -> None:
    """A chunk is sealed, is not among the states, and is not owned by its head."""
    await store.create(*CHUNK, b"\x1f\x8b\0\xff", labels={"task-id": "7"})
    found = others.read(CHUNK[1])
    assert found["immutable"] is True
    assert {"body": base64.b64encode(b"\x1f\x8b\0\xff").decode()} == found["binaryData"]
    assert {
        "mendloop.dev/kind": "chunk",
        "managed-by": "agent-remediation-controller",
        "task-id": "7",
    } == found["metadata"]["labels"]
    assert "ownerReferences" not in found["metadata"]
    with pytest.raises(APIError) as caught:
        others.apply(CHUNK[1], "x", binaryData={"body": "AA=="})
    assert caught.value.status in {409, 422}


async def test_other_kinds_are_named_after_their_kind(
    store: ConfigMapStore, others: Others
) -> None:
    """A document of another kind is told from heads and chunks by name and label."""
    await store.create("quarantine", "task-7-x", b"1", fields={"f": "1"})
    found = others.read("quarantine.task-7-x")
    assert "quarantine" == found["metadata"]["labels"]["mendloop.dev/kind"]
    assert "immutable" not in found
    assert () == (await store.list("head")).documents


async def test_what_others_put_into_a_head_stays_theirs(
    store: ConfigMapStore, others: Others
) -> None:
    """Labels, annotations, data and binary data of others survive our writes, and are not ours."""
    document = await store.create(*HEAD, b"1", fields={"iteration": "1"}, labels={"task-id": "7"})
    others.apply(
        HEAD[1],
        "helper",
        metadata={"labels": {"team": "red"}, "annotations": {"note": "n"}},
        data={"extra": "e"},
        binaryData={"blob": "AAE="},
    )
    others.kubectl("label", "configmap", HEAD[1], "colour=blue")
    others.kubectl("annotate", "configmap", HEAD[1], "by=hand")
    with pytest.raises(RevisionConflict):
        await store.replace(document, b"2")
    read = await store.get(*HEAD)
    assert read is not None
    assert {"task-id": "7", "team": "red", "colour": "blue"} == dict(read.labels)
    assert {"iteration": "1", "extra": "e"} == dict(read.fields)
    written = await store.replace(read, b"2", fields={"iteration": "2"}, labels={"task-id": "7"})
    written = await store.replace(written, b"3", fields={"iteration": "3"})
    found = others.read(HEAD[1])
    assert {"state.json": "3", "iteration": "3", "extra": "e"} == found["data"]
    assert {"blob": "AAE="} == found["binaryData"]
    assert {"team": "red", "colour": "blue", "task-id": "7"}.items() <= found["metadata"][
        "labels"
    ].items()
    assert {"note": "n", "by": "hand"}.items() <= found["metadata"]["annotations"].items()
    ours = owned_by(found, "state-manager")
    assert {"f:state.json", "f:iteration"} == set(ours["f:data"])
    assert {"f:app", "f:managed-by", "f:task-id"} == set(ours["f:metadata"]["f:labels"])
    others.apply(
        HEAD[1], "helper", metadata={"labels": {"team": "green"}}, data={"extra": "changed"}
    )
    kept = await store.replace(await _read(store), b"4")
    assert ("green", "changed", "3") == (
        kept.labels["team"],
        kept.fields["extra"],
        kept.fields["iteration"],
    )


async def _read(store: ConfigMapStore) -> Any:
    document = await store.get(*HEAD)
    assert document is not None
    return document


async def test_head_of_the_specifications_writer_is_taken_over(
    store: ConfigMapStore, others: Others
) -> None:
    """What it applied is read, and written on; what it put in kubectl's own annotation goes."""
    others.apply(
        HEAD[1],
        "state-manager",
        metadata={
            "labels": {
                "app": "remediation-state",
                "task-id": "7",
                "managed-by": "agent-remediation-controller",
            },
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "managed-by-controller",
                "remediation.5dlabs.com/version": "v1",
            },
        },
        data={"state.json": "{}", "task_id": "7", "iteration": "1", "last_update": "x"},
    )
    [read] = (await store.list("head")).documents
    assert read == await store.get(*HEAD)
    assert (b"{}", {"task_id": "7", "iteration": "1", "last_update": "x"}) == (
        read.body,
        dict(read.fields),
    )
    await store.replace(read, b"{1}", fields={"iteration": "2"}, labels={"task-id": "7"})
    found = others.read(HEAD[1])
    assert {"state.json": "{1}", "task_id": "7", "iteration": "2", "last_update": "x"} == found[
        "data"
    ]
    assert (
        "kubectl.kubernetes.io/last-applied-configuration" not in found["metadata"]["annotations"]
    )


async def test_head_made_by_hand_is_read(store: ConfigMapStore, others: Others) -> None:
    """Without labels or annotations, and with its body missing or not even text, it is still read."""
    others.kubectl("create", "configmap", HEAD[1], "--from-literal=state.json={}")
    read = await _read(store)
    assert (b"{}", {}, {}) == (read.body, dict(read.fields), dict(read.labels))
    others.kubectl("delete", "configmap", HEAD[1])
    others.create(HEAD[1], data={"iteration": "3"})
    assert b"" == (await _read(store)).body
    others.kubectl("delete", "configmap", HEAD[1])
    others.create(HEAD[1], binaryData={"state.json": "/w=="})
    assert b"\xff" == (await _read(store)).body


async def test_written_head_gets_its_labels_back(store: ConfigMapStore, others: Others) -> None:
    """A head whose labels a person removed is not listed until it is written, and then it is."""
    await store.create(*HEAD, b"1")
    others.kubectl("label", "configmap", HEAD[1], "app-", "managed-by-")
    assert () == (await store.list("head")).documents
    written = await store.replace(await _read(store), b"2")
    assert (written,) == (await store.list("head")).documents


async def test_object_of_another_kind_is_not_taken_for_a_head(
    store: ConfigMapStore, others: Others
) -> None:
    """An object that is labelled as something else is neither read nor listed as a head."""
    labels = {"app": "remediation-state", "mendloop.dev/kind": "note"}
    others.create(HEAD[1], metadata={"labels": labels}, data={"state.json": "{}"})
    others.create("plain", metadata={"labels": {"mendloop.dev/kind": "note"}})
    with pytest.raises(StoreCorrupt, match=r"mendloop\.dev/kind=note"):
        await store.get(*HEAD)
    assert () == (await store.list("head")).documents
    assert () == (await store.list("note")).documents


async def test_each_call_is_one_request(store: ConfigMapStore, proxy: FaultProxy) -> None:
    """Reads, writes and pages cost one request each, also where others have put something in."""
    document = await store.create(*HEAD, b"1", fields={"f": "1"})
    document = await store.replace(document, b"2", fields={"g": "1"})
    document = await store.replace(document, b"3")
    await store.get(*HEAD)
    await store.list("head")
    await store.delete(document)
    verbs = [exchange.request.verb for exchange in proxy.exchanges]
    assert ["create", "patch", "patch", "get", "list", "delete"] == verbs


async def test_made_up_revision_costs_no_request(store: ConfigMapStore, proxy: FaultProxy) -> None:
    """What cannot be a version is refused here, since a server would take "0" for none at all."""
    made = await store.create(*HEAD, b"1")
    uid = made.revision.split("/")[0]
    before = len(proxy.exchanges)
    for revision in ("", "0", uid, f"{uid}/", f"{uid}/0", f"{uid}/-1", "/1", f"{uid}/1/2"):
        stale = type(made)(
            **{name: getattr(made, name) for name in made.__struct_fields__}
            | {"revision": revision}
        )
        with pytest.raises(RevisionConflict):
            await store.replace(stale, b"2")
        with pytest.raises(RevisionConflict):
            await store.delete(stale)
    assert before == len(proxy.exchanges)


_FILLERS = {"ascii": "x", "cyrillic": "\u044f", "astral": "\U0001f600", "quotes": '"', "tags": "<"}


@pytest.mark.parametrize("filler", _FILLERS.values(), ids=_FILLERS.keys())
async def test_limit_is_the_servers_to_the_byte(
    store: ConfigMapStore, others: Others, proxy: FaultProxy, filler: str
) -> None:
    """What fits by our count is taken by the server; one byte more is refused here, and there."""
    width = len(filler.encode())
    text = filler * ((LIMIT - 16) // width)
    text += "." * (LIMIT - 16 - len(text.encode()))
    made = await store.create(*HEAD, b"1" * 8, fields={"f": text[:-1], "g": "12345678"})
    made = await store.replace(made, b"1" * 9, fields={"f": text[:-1]})
    made = await store.replace(made, b"1" * 8, fields={"f": text})
    for call in (
        store.replace(made, b"1" * 9, fields={"f": text}),
        store.replace(made, b"1" * 9),
        store.create("head", "b", b"1" * 17, fields={"f": text}),
        store.create("note", "b", b"1" * 17, fields={"f": text}),
    ):
        with pytest.raises(TooLarge) as caught:
            await call
        assert (LIMIT + 1, LIMIT) == (caught.value.size_bytes, caught.value.limit_bytes)
    assert made == await store.get(*HEAD)
    assert {200, 201} == {exchange.status for exchange in proxy.exchanges}
    with pytest.raises(APIError) as refused:
        others.create("c", data={"f": text, "g": "1" * 17})
    assert refused.value.status in {413, 422}


async def test_text_that_grows_by_escapes_is_refused_here(
    store: ConfigMapStore, proxy: FaultProxy
) -> None:
    """Control characters are six bytes each on the way: what a body may not hold is not sent."""
    with pytest.raises(TooLarge) as caught:
        await store.create(*HEAD, b"\x01" * 1_000_000)
    assert caught.value.size_bytes > 3_145_728 == caught.value.limit_bytes
    made = await store.create(*HEAD, b"\x01" * 500_000)
    assert b"\x01" * 500_000 == made.body
    assert [201] == [exchange.status for exchange in proxy.exchanges]


async def test_foreign_data_counts_with_ours(store: ConfigMapStore, others: Others) -> None:
    """What others have put into a head takes room that is then not ours."""
    await store.create(*HEAD, b"1")
    others.apply(HEAD[1], "helper", data={"extra": "x" * 1_000_000})
    with pytest.raises(TooLarge):
        await store.replace(await _read(store), b"1" * 100_000)
    await store.replace(await _read(store), b"1" * 40_000)


async def test_listing_goes_on_when_its_moment_has_expired(
    store: ConfigMapStore, proxy: FaultProxy
) -> None:
    """Where the server no longer keeps the first page's moment, the rest is as of now."""
    for key in "abcdef":
        await store.create("head", key, b"1")
    first = await store.list("head", limit=2)
    token = {"v": "meta.k8s.io/v1", "rv": -1, "start": "b\0"}
    following = base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
    body = {"kind": "Status", "code": 410, "reason": "Expired"}
    expired = json.dumps(body | {"metadata": {"continue": following}}).encode()
    proxy.choose = faults.in_turn(
        [Fault(is_forwarded=False, answer=Answer(410, expired))], verbs=["list"]
    )
    page = await store.list("head", cursor=first.cursor)
    assert ["c", "d", "e", "f"] == [document.key for document in page.documents]


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
    await _eventually(lambda: store.peek("head", "a") == theirs)
    theirs = await other.replace(theirs, b"2")
    await _eventually(lambda: store.peek("head", "a") == theirs)
    ours = await store.replace(theirs, b"3")
    assert ours == store.peek("head", "a")
    await store.delete(ours)
    assert store.peek("head", "a") is None
    async with aclosing(store.watch("head")) as watch, asyncio.timeout(20):
        made = await other.create("head", "b", b"1")
        assert Seen(key="b", document=made) == await anext(watch)
    assert (1, 1) == (proxy.count("list"), proxy.count("watch"))


async def _eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - a peek waits for nobody
            await asyncio.sleep(0.01)


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


@pytest.mark.parametrize("fault", [faults.LOST_ANSWER, faults.STORED_BUT_TIMED_OUT])
async def test_write_whose_answer_is_lost_is_told_as_maybe_stored(
    store: ConfigMapStore, proxy: FaultProxy, fault: Fault
) -> None:
    """The caller is told that it may have landed, and a second try with the old revision does not."""
    made = await store.create(*HEAD, b"1")
    proxy.choose = faults.in_turn([fault])
    with pytest.raises(StoreUnavailable) as caught:
        await store.replace(made, b"2")
    assert caught.value.maybe_stored
    assert b"2" == (await _read(store)).body
    with pytest.raises(RevisionConflict):
        await store.replace(made, b"3")


async def test_immutable_head_is_refused_with_the_servers_words(
    store: ConfigMapStore, others: Others
) -> None:
    """Where a person has sealed a head, a write says so rather than trying for ever."""
    await store.create(*HEAD, b"1")
    others.kubectl("patch", "configmap", HEAD[1], "-p", '{"immutable": true}')
    with pytest.raises(StoreError, match="immutable"):
        await store.replace(await _read(store), b"2")

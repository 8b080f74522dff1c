"""How documents stand in ConfigMaps: the specification's layout, and what of them belongs to others."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from configmaps import HEAD, Others, read_head

from controlplane import APIError
from mendloop.core.errors import DeserializationError, RevisionConflict, StoreCorrupt, StoreError
from mendloop.stores.configmap import ConfigMapStore

CHUNK = ("chunk", "task-7-history-abc-0000000001-def")


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
    kept = await store.replace(await read_head(store), b"4")
    assert ("green", "changed", "3") == (
        kept.labels["team"],
        kept.fields["extra"],
        kept.fields["iteration"],
    )


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
    read = await read_head(store)
    assert (b"{}", {}, {}) == (read.body, dict(read.fields), dict(read.labels))
    others.kubectl("delete", "configmap", HEAD[1])
    others.create(HEAD[1], data={"iteration": "3"})
    assert b"" == (await read_head(store)).body
    others.kubectl("delete", "configmap", HEAD[1])
    others.create(HEAD[1], binaryData={"state.json": "/w=="})
    assert b"\xff" == (await read_head(store)).body


async def test_written_head_gets_its_labels_back(store: ConfigMapStore, others: Others) -> None:
    """A head whose labels a person removed is not listed until it is written, and then it is."""
    await store.create(*HEAD, b"1")
    others.kubectl("label", "configmap", HEAD[1], "app-", "managed-by-")
    assert () == (await store.list("head")).documents
    written = await store.replace(await read_head(store), b"2")
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


async def test_immutable_head_is_refused_with_the_servers_words(
    store: ConfigMapStore, others: Others
) -> None:
    """Where a person has sealed a head, a write says so rather than trying for ever."""
    await store.create(*HEAD, b"1")
    others.kubectl("patch", "configmap", HEAD[1], "-p", '{"immutable": true}')
    with pytest.raises(StoreError, match="immutable"):
        await store.replace(await read_head(store), b"2")


async def test_body_among_binary_data_is_read_and_not_written(
    store: ConfigMapStore, others: Others
) -> None:
    """An apply cannot take it from there: what to do is said before anything is sent."""
    body = base64.b64encode(b"{}").decode()
    others.create(HEAD[1], binaryData={"state.json": body})
    read = await read_head(store)
    with pytest.raises(DeserializationError, match="move it to data"):
        await store.replace(read, b"1")
    others.merge(HEAD[1], binaryData={"state.json": None}, data={"state.json": "{}"})
    moved = await read_head(store)

    assert b"{}" == read.body == moved.body
    assert "task-7-state has its state.json in binaryData" in read.obstacle
    assert b"1" == (await store.replace(moved, b"1")).body

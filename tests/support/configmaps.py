"""ConfigMaps as others than mendloop see and change them, and stores in them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from controlplane import Cluster
from mendloop.stores.configmap import ConfigMapStore
from mendloop.stores.port import Document

__all__ = ["HEAD", "OpenStore", "Others", "read_head"]

HEAD = ("head", "task-7-state")
"""Kind and key of the document that most tests are about."""

OpenStore: TypeAlias = Callable[..., Awaitable[ConfigMapStore]]
"""Opens one more store: as the owner of a token, with options of `open_configmaps`."""


async def read_head(store: ConfigMapStore) -> Document:
    """The document that most tests are about, which is there."""
    document = await store.get(*HEAD)
    assert document is not None
    return document


class Others:
    """Whoever else works on the objects of the namespace, straight at the API server."""

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

    def merge(self, name: str, **members: Any) -> None:
        """As `kubectl patch` does."""
        patch = f"--patch={json.dumps(members)}"
        self.kubectl("patch", "configmap", name, "--type=merge", patch)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl(*arguments, "-n", self.namespace, stdin=stdin)

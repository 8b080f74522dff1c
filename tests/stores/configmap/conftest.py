"""A store in the ConfigMaps of a namespace, behind a proxy, and others who work there as well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from configmaps import OpenStore, Others
from fault_proxy import FaultProxy
from opened import opened

from controlplane import Cluster
from mendloop.kube.access import load_access
from mendloop.stores.configmap import ConfigMapStore, open_configmaps


@pytest.fixture
async def open_store(proxy: FaultProxy, namespace: str, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Open a store through the proxy, in the test's namespace; closed when the test ends."""

    async def open_one(*, token: str | None = None, **options: Any) -> ConfigMapStore:
        path = proxy.cluster.kubeconfig(tmp_path / "config", token=token, namespace=namespace)
        return open_configmaps(await load_access(kubeconfig=str(path)), **options)

    async with opened(open_one) as open_store:
        yield open_store


@pytest.fixture
async def store(open_store: OpenStore) -> ConfigMapStore:
    """A store that watches nothing."""
    return await open_store()


@pytest.fixture
def others(control_plane: Cluster, namespace: str) -> Others:
    """Somebody else."""
    return Others(control_plane, namespace)

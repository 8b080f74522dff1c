"""
Clients of a real API server, with a proxy between them where a test wants faults.

They have what the Role in ``deploy`` allows, and no more: the token is that of a ServiceAccount.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from audited import check_namespace
from configmaps import Others
from fault_proxy import FaultProxy
from rights import grant

from controlplane import Cluster


@pytest.fixture
def token(control_plane: Cluster, namespace: str) -> str:
    """Who the clients are in the test's namespace."""
    return grant(control_plane, namespace)


@pytest.fixture
async def direct(
    request: pytest.FixtureRequest,
    control_plane: Cluster,
    namespace: str,
    token: str,
    tmp_path: Path,
) -> AsyncIterator[str]:
    """The store in the test's namespace, straight at the API server; see `crew.open_spec`."""
    config = control_plane.kubeconfig(tmp_path / "direct", token=token, namespace=namespace)
    yield f"configmap:{config}"
    await check_namespace(request, f"configmap:{config}")


@pytest.fixture
def others(control_plane: Cluster, namespace: str) -> Others:
    """Somebody with kubectl in the test's namespace, straight at the API server."""
    return Others(control_plane, namespace)


@pytest.fixture
def proxied(proxy: FaultProxy, namespace: str, token: str, tmp_path: Path) -> str:
    """The same store, through the proxy."""
    config = proxy.cluster.kubeconfig(tmp_path / "proxied", token=token, namespace=namespace)
    return f"configmap:{config}"

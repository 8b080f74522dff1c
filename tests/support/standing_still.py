"""Stores that stand still for a while, for replicas that are started afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import apsw
import pytest
from fault_proxy import FaultProxy
from served import Served

from controlplane import Cluster

__all__ = ["proxied", "standing_still"]


@asynccontextmanager
async def standing_still(
    served: Served, request: pytest.FixtureRequest
) -> AsyncIterator[Callable[[], AbstractAsyncContextManager[None]]]:
    """Gives blocks inside which the store of *served* writes nothing, and does not say so."""
    if served.spec != "kubernetes":
        yield lambda: _locked(served.spec.removeprefix("sqlite:"))
        return
    async with proxied(served, request) as proxy:
        yield proxy.standstill


@asynccontextmanager
async def proxied(served: Served, request: pytest.FixtureRequest) -> AsyncIterator[FaultProxy]:
    """Let replicas that start from now on come through a proxy."""
    cluster: Cluster = request.getfixturevalue("control_plane")
    async with FaultProxy(cluster) as proxy:
        config = Path(served.environment["KUBECONFIG"])
        config.write_text(config.read_text().replace(cluster.url, proxy.cluster.url))
        yield proxy


@asynccontextmanager
async def _locked(path: str) -> AsyncIterator[None]:
    connection = apsw.Connection(path)
    connection.set_busy_timeout(5000)
    connection.execute("BEGIN IMMEDIATE")
    yield
    connection.execute("ROLLBACK")
    connection.close()
